package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/handover"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/loop"
	"github.com/gatewhy/gatewhy/internal/otlp"
)

// hurry is how long the end of the program waits for what should take no time.
const hurry = time.Second

// plan is what a service needs, as plain data: proxy makes it of flags, run of a
// configuration. From there on both are one.
type plan struct {
	options gateway.Options // its addresses are those of at
	at      listens
	// log is a form, "" for the one that suits where it goes; logFile and runDir are
	// "" for standard output and for the first directory that works.
	log, logFile, logTemplate, runDir string
	logSample                         float64
	admin                             string // where metrics are served; "" for nowhere
	token                             string // the file of the token for the API there; "" for no API
	drain                             time.Duration
	upgrade                           time.Duration // that a new program may take
	plain                             bool          // no colour
	// connections is what somebody calls the setting by which he asked for so many,
	// "" if nobody did.
	connections string
	from        string // where the settings come from, for the first line
	file        string // of the configuration, "" without one
	// another says what to write for another place to listen on.
	another func(taken, free string) string
	// loaded is the configuration, and read reads it again; both nil without a file. instead
	// reads a text in the place of the file.
	loaded  *config.Loaded
	read    func() *config.Loaded
	instead func(text []byte) *config.Loaded
	// sources are the files that the configuration was last read from; nil if nobody
	// wants them to be watched.
	sources func() []string
}

// service is a running gateway with everything that belongs to it.
type service struct {
	e        *env
	ink      ink
	gateway  *gateway.Gateway
	log      *accessLog
	admin    *admin.Server
	public   atomic.Pointer[admin.Metrics] // nil without an address for it, or while that cannot be had
	spans    *otlp.Poster                  // nil without a collector for them
	reporter *otlp.Reporter                // of metrics; nil without a collector for them
	notify   *notifier
	started  time.Time
	stops    chan bool    // what the admin socket asks for: true is at once
	heir     atomic.Int64 // the process that has taken our place; 0 if none has

	reloading sync.Mutex // held by a reload
	reloads   reloads

	mu     sync.Mutex
	plan   *plan     // the one in force
	lacks  []lack    // of the one that it began with
	read   time.Time // when it was
	ending bool      // nothing more begins
	end    func()    // ends what was begun
	life   context.Context
	work   sync.WaitGroup
}

// begin runs f beside everything else. It should end when its context does.
func (s *service) begin(f func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.work.Go(func() { f(s.life) })
	}
}

// serve starts a gateway and serves until it is told to stop.
func (e *env) serve(ctx context.Context, p *plan) error {
	log, err := e.openLog(p)
	if err != nil {
		return err
	}
	defer log.close()
	o := &p.options
	o.Client.Log, o.Client.Incidents = log.sink, incident.NewStore(0)
	if log.sink == nil {
		o.Changed = e.changed
	}
	o.Told = e.told
	spans, reports, err := e.collector()
	if err != nil {
		return misused(err, "spans and metrics are sent where the variables of OpenTelemetry say")
	}
	if spans != nil {
		o.Client.Spans = accesslog.NewSink(spans, accesslog.SinkOptions{Append: otlp.AppendSpans, Wanted: otlp.Wanted, Dropped: spans.Drop, FlushEvery: spansEvery})
	}
	if o.Epoll {
		// A loop holds a processor of the runtime while it has work: leave two for the
		// rest of the program.
		o.Loops = cmp.Or(o.Loops, runtime.GOMAXPROCS(0))
		runtime.GOMAXPROCS(o.Loops + 2)
	}
	e.paceGarbage()
	e.bound(p)
	inherited, before, err := handover.Inherit()
	if err != nil {
		e.complain(err, "the sockets that are there are used, and others are opened")
	}
	o.Inherited = inherited

	// From here on a signal must find its handler: a supervisor may stop what it has
	// just started.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	// A log reader that has gone must not take the gateway with it.
	signal.Ignore(syscall.SIGPIPE)

	s := &service{e: e, ink: e.ink(e.errTTY, p.plain), log: log, plan: p, spans: spans, started: time.Now(), stops: make(chan bool, 4)}
	s.read = s.started
	s.life, s.end = context.WithCancel(ctx)
	defer s.end()
	// A program that takes another's place must have all, or leave it there.
	if s.gateway, s.plan, s.lacks, err = p.begin(p.loaded != nil && before == nil); err != nil {
		return err
	}
	if reports != nil {
		s.reporter = otlp.NewReporter(*reports, number, s.started, s.gather)
	}
	api := admin.Options{Dir: p.runDir, Incidents: s.gateway.Incidents(), State: s.state,
		Control: admin.Control{Reload: s.reload, Stop: s.stop, Endpoint: s.endpoint, Upgrade: s.upgrade, Config: s.configuration, Put: s.put}}
	s.admin, err = admin.Start(api)
	if err != nil {
		e.complain(fmt.Errorf("no socket for gatewhy explain: %w", err), "--run-dir names another directory; requests are served all the same")
	} else {
		defer s.admin.Close()
	}
	if p.admin != "" {
		public := admin.Public{Listen: p.admin, Metrics: s.metrics, Ready: s.ready}
		if p.token != "" {
			public.API, public.Token = &api, func() (string, error) {
				b, err := os.ReadFile(p.token)
				return strings.TrimSpace(string(b)), err
			}
		}
		public.Listener, err = inherited.Listener("admin "+p.admin, loop.Address{})
		s.openPublic(public, err)
		defer s.closePublic()
	}
	for _, name := range inherited.Close() {
		e.complain(fmt.Errorf("a socket on %s was handed over, and nothing listens there by these settings: it is closed", name), "")
	}
	s.notify = e.notifier()
	defer s.notify.close()
	s.notify.say("READY=1", "STATUS="+s.status())
	before.Ready()
	if s.notify.watchdog > 0 {
		s.begin(s.alive)
	}
	s.lacking()
	s.say()
	if len(s.lacks) > 0 {
		s.begin(func(ctx context.Context) { s.complete(ctx, p) })
	}
	subjects := s.subjects(nil)
	s.begin(func(ctx context.Context) { s.look(ctx, subjects, true) })
	if p.sources != nil || len(p.certificateFiles()) > 0 || p.loaded != nil {
		s.begin(s.watch)
	}
	s.begin(s.remind)
	if s.reporter != nil {
		s.begin(func(ctx context.Context) { s.reporter.Run(ctx, hurry/2) })
	}
	s.wait(signals)
	s.mu.Lock()
	s.ending = true
	s.end()
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with what the service began, or with the process
		defer close(done)
		s.work.Wait()
	}()
	select {
	case <-done:
	case <-time.After(hurry): // a resolver that hangs cannot be interrupted
	}
	return nil
}

// changed tells of an endpoint's state where no access log does.
func (e *env) changed(c *accesslog.Endpoint) {
	line := accesslog.AppendEndpoint(nil, accesslog.Text, c)
	go e.err.Write(line) // a terminal may be stopped
}

// spansEvery is how long a span waits for others: whoever looks for a trace is not kept
// waiting, and a busy gateway still sends in bulk.
const spansEvery = 2 * time.Second

// collector is who tells a collector of spans, and how metrics are to be told; both nil if
// the environment names none.
func (e *env) collector() (spans *otlp.Poster, metrics *otlp.Options, err error) {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562 section 5.4
	instance := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	o, on, err := otlp.FromEnvironment(e.getenv, otlp.Spans, instance)
	if err != nil {
		return nil, nil, err
	}
	if on {
		o.Tell = e.told
		spans = otlp.NewPoster(o, number)
	}
	o, on, err = otlp.FromEnvironment(e.getenv, otlp.Metrics, instance)
	if err != nil {
		return nil, nil, err
	}
	if on {
		o.Tell = e.told
		metrics = &o
	}
	return spans, metrics, nil
}

// told tells what became of a certificate.
func (e *env) told(line string) { fmt.Fprintln(e.err, printable(line)) }

// bound keeps the client connections below what this process can open.
func (e *env) bound(p *plan) {
	o := &p.options
	most := affordable(o.Client.MaxConnections, openFiles())
	if p.connections != "" && most < o.Client.MaxConnections {
		fmt.Fprintf(e.err, "%s lowered to %d: this process may open %d files (see ulimit -n)\n", p.connections, most, openFiles())
	}
	o.Client.MaxConnections = share(most, o.Loops)
}

// ownFiles are the descriptors that no connection must take: listeners, the log,
// the socket for questions, pollers, spools.
const ownFiles = 128

// affordable is how many of n client connections a process with so many files
// can serve: each may need a second descriptor for its upstream. Without this
// bound idle clients could take them all, and nobody would be answered.
func affordable(n, files int) int {
	if n == 0 || files == 0 {
		return n
	}
	return min(n, max(1, (files-ownFiles)/2))
}

// share is what each loop may have of n, so that all together have n or little
// more; connections are dealt to loops in turn.
func share(n, loops int) int {
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0) // what the engine takes
	}
	return (n + loops - 1) / loops
}

// now is the plan in force.
func (s *service) now() (p *plan, read time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan, s.read
}

func (s *service) state() admin.State {
	p, read := s.now()
	st := admin.State{PID: os.Getpid(), Version: number, Node: s.gateway.Node(), Started: s.started.UTC().Round(0),
		Stopping: s.gateway.Stopping(), Incidents: s.gateway.Incidents().Total(), Endpoints: []admin.Endpoint{}}
	s.mu.Lock()
	for _, l := range s.lacks {
		st.Lacks = append(st.Lacks, l.why)
	}
	s.mu.Unlock()
	for _, u := range s.gateway.Upstreams() {
		st.Endpoints = append(st.Endpoints, admin.Endpoints(u.Name(), u.State())...)
	}
	if c := s.gateway.Certificates(); c != nil {
		for _, x := range c.Expiries() {
			st.Certificates = append(st.Certificates, admin.Certificate{Name: x.Name, NotAfter: x.NotAfter.UTC(), Issuer: x.Issuer})
		}
		switch root, err := c.Authority(); {
		case err != nil:
			st.Authority = &admin.Authority{Error: err.Error()}
		case root != nil:
			st.Authority = &admin.Authority{Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))}
		}
		h := admin.Handshakes(s.gateway.Handshakes())
		st.Handshakes = &h
	}
	for _, a := range s.gateway.Addresses() {
		st.Listen = append(st.Listen, a.String())
	}
	if p.loaded != nil {
		read = read.UTC().Round(0)
		st.Config, st.Loaded = p.file, &read
	}
	return st
}

// stop asks wait for the end.
func (s *service) stop(atOnce bool) {
	select {
	case s.stops <- atOnce:
	default: // it has been asked often enough
	}
}

// wait waits for signals and orders until one of them has ended the gateway.
func (s *service) wait(signals <-chan os.Signal) {
	drained := make(chan struct{})
	draining := false
	drain := func() {
		draining = true
		s.notify.say("STOPPING=1", "STATUS=requests under way are ending")
		p, _ := s.now()
		if heir := s.heir.Load(); heir != 0 {
			fmt.Fprintf(s.e.err, "\npid %d serves now: requests under way here have %s to end\n", heir, conf.FormatDuration(p.drain))
		} else {
			fmt.Fprintf(s.e.err, "\nstopping: requests under way have %s to end · again = at once\n", conf.FormatDuration(p.drain))
		}
		go func() { // ends when the gateway has
			defer close(drained)
			s.gateway.Drain(p.drain)
		}()
	}
	for {
		select {
		case <-drained:
			return
		case atOnce := <-s.stops:
			switch {
			case atOnce:
				s.notify.say("STOPPING=1")
				fmt.Fprintln(s.e.err, "\nstopping at once")
				s.log.flush(drained)
				return
			case !draining:
				drain()
			}
		case sig := <-signals:
			switch {
			case sig == syscall.SIGUSR1:
				if err := s.log.reopen(); err != nil {
					s.e.complain(fmt.Errorf("the access log stays where it was: %w", err), "")
				}
			case sig == syscall.SIGUSR2 && !draining:
				s.begin(func(context.Context) { s.upgrade() })
			case sig == syscall.SIGUSR2: // somebody else serves already, or nobody is to
			case sig == syscall.SIGHUP && !s.hungUp():
				s.begin(func(context.Context) { s.reload() })
			case draining: // at once
				s.log.flush(drained)
				return
			default:
				drain()
			}
		}
	}
}

// hungUp tells the SIGHUP of a terminal that was closed from the one that
// supervisors send for "read your configuration again".
func (s *service) hungUp() bool {
	if p, _ := s.now(); p.loaded == nil {
		return s.e.errTTY // there is nothing to read
	}
	f, ok := s.e.err.(*os.File)
	return s.e.errTTY && ok && !terminal(f)
}
