package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// upstreamName is what logs call the one upstream that a command line can name.
const upstreamName = "app"

// proxyFlags are the flags that are not settings of the gateway itself.
type proxyFlags struct {
	log, logFile, runDir string
	drain                string
	plain                bool
	printConfig          bool
}

func (e *env) proxy() *cobra.Command {
	f := &proxyFlags{}
	c := &cobra.Command{
		Use:   "proxy LISTEN UPSTREAM...",
		Short: "Stand in front of servers: an HTTP/1.1 reverse proxy",
		Long: "Stand in front of servers: an HTTP/1.1 reverse proxy.\n\n" +
			"LISTEN    :8080  127.0.0.1:8080  localhost:8080  [::]:8080  unix:/run/web.sock\n" +
			"          https://:8443  with TLS; several with commas: :8080,https://:8443\n" +
			"UPSTREAM  app:3000  :3000  :3000-3003  10.0.0.7:80  https://app  h2c://app  unix:/run/app.sock\n" +
			"          several share the load and stand in for each other",
		Example: "  gatewhy proxy :8080 localhost:3000\n" +
			"  gatewhy proxy https://:8443 localhost:3000 --tls-cert site.pem --tls-key site.key\n" +
			"  gatewhy proxy :8080 :3000-3003 --timeout-first-byte 15s\n" +
			"  gatewhy proxy localhost:8080 https://app.example --upstream-ca ca.pem",
		Args: arguments(cobra.MinimumNArgs(2), "an address to listen on and at least one upstream"),
		RunE: func(c *cobra.Command, args []string) error { return e.runProxy(c, f, args) },
	}
	c.Flags().SortFlags = false
	c.Flags().StringVar(&f.log, "log", "", "access log: `FORM` is text, json or off; text on a terminal and json elsewhere unless set")
	c.Flags().StringVar(&f.logFile, "log-file", "", "append the access log to `FILE` instead of standard output; SIGUSR1 opens it anew")
	c.Flags().StringVar(&f.drain, "drain", conf.FormatDuration(gateway.DefaultDrain),
		"`DURATION` that a stop waits for requests under way: under the 90s after which systemd kills")
	c.Flags().BoolVar(&f.plain, "plain", false, "no colour")
	c.Flags().StringVar(&f.runDir, "run-dir", "", "`DIR` of the socket that gatewhy explain asks; /run/gatewhy or the user's own unless set")
	c.Flags().BoolVar(&f.printConfig, "print-config", false, "start nothing, and print the configuration file that means the same")
	group(c.Flags(), generalGroup, "log", "log-file", "drain", "plain", "run-dir", "print-config")
	addSettings(c.Flags())
	c.SetUsageFunc(e.groupedUsage)
	return c
}

// hurry is how long the end of the program waits for what should take no time.
const hurry = time.Second

// running is a started proxy with everything that belongs to it.
type running struct {
	e       *env
	ink     ink
	gateway *gateway.Gateway
	log     *accessLog
	admin   *admin.Server
	drain   time.Duration
}

func (e *env) runProxy(c *cobra.Command, f *proxyFlags, args []string) error {
	if f.printConfig {
		return e.printFlags(c.Flags(), f, args)
	}
	if err := e.environment(c.Flags()); err != nil {
		return err
	}
	o := gateway.Defaults()
	if err := settings.Apply(&o, given(c.Flags())); err != nil {
		return misused(err, "gatewhy proxy --help tells what each setting takes")
	}
	drain, err := conf.ParseDuration(f.drain)
	if err != nil {
		return misused(fmt.Errorf("--drain %q: %w", f.drain, err), "")
	}
	at, err := parseListens(args[0])
	if err != nil {
		return misused(err, "LISTEN is one of :8080, 127.0.0.1:8080, localhost:8080, [::]:8080, https://:8443, unix:/run/web.sock")
	}
	switch {
	case at.secure() && !o.TLS.Any():
		return misused(fmt.Errorf("cannot listen on %s: TLS needs a certificate", at[len(at)-1].Written()),
			"--tls-cert FILE --tls-key FILE, or --tls-self-signed for trying out")
	case !at.secure() && o.TLS.Any():
		return misused(fmt.Errorf("there is a certificate, and %s speaks plain HTTP", at[0].Written()), "write https://"+at[0].Text)
	}
	if host, err := os.Hostname(); err == nil && o.TLS.SelfSigned {
		o.TLS.Names = []string{host}
	}
	o.Upstream.Name = upstreamName
	if o.Upstream.Targets, err = parseTargets(args[1:]); err != nil {
		return misused(err, "UPSTREAM is one of app:3000, :3000, :3000-3003, https://app, h2c://app, unix:/run/app.sock")
	}
	log, err := e.openLog(f)
	if err != nil {
		return err
	}
	defer log.close()
	o.Client.Log, o.Client.Incidents = log.sink, incident.NewStore(0)
	if o.Epoll {
		// A loop holds a processor of the runtime while it has work: leave two for the
		// rest of the program.
		o.Loops = cmp.Or(o.Loops, runtime.GOMAXPROCS(0))
		runtime.GOMAXPROCS(o.Loops + 2)
	}
	e.paceGarbage()
	most := affordable(o.Client.MaxConnections, openFiles())
	if c.Flags().Changed("max-connections") && most < o.Client.MaxConnections {
		fmt.Fprintf(e.err, "--max-connections lowered to %d: this process may open %d files (see ulimit -n)\n", most, openFiles())
	}
	o.Client.MaxConnections = share(most, o.Loops)

	// From here on a signal must find its handler: a supervisor may stop what it has
	// just started.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)
	// A log reader that has gone must not take the gateway with it.
	signal.Ignore(syscall.SIGPIPE)

	r := &running{e: e, ink: e.ink(e.errTTY, f.plain), log: log, drain: drain}
	if r.gateway, err = at.start(&o); err != nil {
		return cannotStart(err, at, args)
	}
	started := time.Now()
	r.admin, err = admin.Start(admin.Options{Dir: f.runDir, Incidents: r.gateway.Incidents(),
		State: func() admin.State { return r.state(started) }})
	if err != nil {
		e.complain(fmt.Errorf("no socket for gatewhy explain: %w", err), "--run-dir names another directory; requests are served all the same")
	} else {
		defer r.admin.Close()
	}
	r.say(&o)
	ctx, stop := context.WithCancel(c.Context())
	watched := make(chan struct{})
	go func() { // ends when the upstreams are up or ctx is done
		defer close(watched)
		r.watch(ctx, &o, at)
	}()
	r.serve(signals)
	stop()
	select {
	case <-watched:
	case <-time.After(hurry): // a resolver that hangs cannot be interrupted
	}
	return nil
}

// printFlags prints the configuration that a command line means.
func (e *env) printFlags(flags *pflag.FlagSet, f *proxyFlags, args []string) error {
	l := config.FromFlags(e.source("", flags), strings.Split(args[0], ","), args[1:], upstreamName)
	if err := e.tell(l, "the command line", f.plain); err != nil {
		return misused(errors.New("these words are no configuration"), "gatewhy proxy --help tells what each setting takes")
	}
	return e.printConfig(l, false, false)
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

func (r *running) state(started time.Time) admin.State {
	s := admin.State{PID: os.Getpid(), Version: number, Node: r.gateway.Node(), Started: started.UTC().Round(0),
		Incidents: r.gateway.Incidents().Total(), Endpoints: admin.Endpoints(r.gateway.Upstream().State())}
	if r.gateway.Certificates() != nil {
		h := admin.Handshakes(r.gateway.Handshakes())
		s.Handshakes = &h
	}
	for _, a := range r.gateway.Addresses() {
		s.Listen = append(s.Listen, a.String())
	}
	return s
}

// serve waits for signals until one of them has ended the gateway.
func (r *running) serve(signals <-chan os.Signal) {
	drained := make(chan struct{})
	draining := false
	for {
		select {
		case <-drained:
			return
		case s := <-signals:
			switch {
			case s == syscall.SIGUSR1:
				if err := r.log.reopen(); err != nil {
					r.e.complain(fmt.Errorf("the access log stays where it was: %w", err), "")
				}
			case s == syscall.SIGHUP && !r.e.errTTY:
				// Supervisors send it for "read your configuration again".
				fmt.Fprintln(r.e.err, "nothing to read again: there is no config file, the settings are flags")
			case draining: // at once
				r.log.flush(drained)
				return
			default:
				draining = true
				fmt.Fprintf(r.e.err, "\nstopping: requests under way have %s to end · again = at once\n", conf.FormatDuration(r.drain))
				go func() { // ends when the gateway has
					defer close(drained)
					r.gateway.Drain(r.drain)
				}()
			}
		}
	}
}

func parseTargets(args []string) (list []upstream.Target, err error) {
	var wrong []error
	for _, s := range args {
		t, err := upstream.ParseTarget(s)
		if err != nil {
			wrong = append(wrong, err)
		}
		list = append(list, t...)
	}
	return list, errors.Join(wrong...)
}

// given are the settings that were set, by name.
func given(flags *pflag.FlagSet) map[string]string {
	set := map[string]string{}
	flags.Visit(func(f *pflag.Flag) {
		if settings.Find(f.Name) != nil {
			set[f.Name] = f.Value.String()
		}
	})
	return set
}

// variable is the environment's name of a flag.
func variable(flag string) string {
	return "GATEWHY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environment sets the flags that the command line left unset.
func (e *env) environment(flags *pflag.FlagSet) error {
	var wrong []error
	flags.VisitAll(func(f *pflag.Flag) {
		v := e.getenv(variable(f.Name))
		if f.Changed || v == "" || f.Name == "help" {
			return
		}
		if err := flags.Set(f.Name, v); err != nil {
			wrong = append(wrong, fmt.Errorf("%s=%q: %w", variable(f.Name), v, err))
		}
	})
	if err := errors.Join(wrong...); err != nil {
		return misused(err, "the environment stands in for flags: GATEWHY_TIMEOUT_READ is --timeout-read")
	}
	return nil
}

// addSettings makes a flag of each setting of the gateway.
func addSettings(flags *pflag.FlagSet) {
	for _, s := range settings.All() {
		f := flags.VarPF(&value{kind: s.Value, text: s.Default}, s.Name, "", s.Help)
		f.DefValue = s.Default
		if s.Value == "" {
			f.NoOptDefVal = "true"
		}
		group(flags, s.Group, s.Name)
	}
}

// value is a flag's text, read later: settings.Apply tells all mistakes at once.
// One whose kind ends in "..." may be given several times, as a list with commas.
type value struct {
	kind, text string
	given      bool
}

func (v *value) String() string { return v.text }

func (v *value) Set(s string) error {
	if v.given && strings.HasSuffix(v.kind, "...") {
		s = v.text + "," + s
	}
	v.text, v.given = s, true
	return nil
}

// Type is what help shows for the value.
func (v *value) Type() string { return v.kind }
