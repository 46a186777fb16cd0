package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// scene is one step of the demo: a recipe of the lab behind a gateway of its own.
type scene struct {
	recipe string
	// spare puts a good endpoint beside the broken one.
	spare bool
}

// scenes go from what is rescued over what is mended to what can only be told,
// and end with a cut that must be seen.
var scenes = []scene{
	{"connect_refused", true},
	{"body_eof_short", true},
	{"reuse_race_fin/get-read", false},
	{"te_duplicate_line", false},
	{"header_obs_fold", false},
	{"header_name_bad_char", false},
	{"cl_conflict", false},
	{"foreign_banner", false},
	{"tls_on_plain_port", false},
	{"tls_cert_expired", false},
	{"head_timeout_first_byte", false},
	{"body_eof_short/late", false},
}

// sceneTime bounds one scene; the slowest waits for a limit of a fifth of a second.
const sceneTime = 10 * time.Second

func (e *env) demo() *cobra.Command {
	var once, plain bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Break a dozen upstreams and show what the gateway makes of each",
		Long: "Break a dozen upstreams and show what the gateway makes of each, and what nginx and HAProxy\n" +
			"would have said. Gateway and upstreams run in this process, on loopback; nothing else is\n" +
			"needed, and nothing stays behind.",
		Args: arguments(cobra.NoArgs, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			d := &demo{e: e, ink: e.ink(e.outTTY, plain), store: incident.NewStore(0), ask: !once && e.inTTY && e.outTTY}
			return d.run(ctx)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "play all of it without waiting for Enter")
	c.Flags().BoolVar(&plain, "plain", false, "no colour")
	return c
}

type demo struct {
	e     *env
	ink   ink
	store *incident.Store
	ask   bool // wait for Enter between the scenes

	rescued, mended, told, unexplained int
}

func (d *demo) run(ctx context.Context) error {
	fmt.Fprintf(d.e.out, "%s · %d broken upstreams on loopback, each behind a gateway\n\n", d.ink.bold("gatewhy "+number+" demo"), len(scenes))
	if d.ask { // so that `gatewhy explain ID` works from another shell meanwhile
		if s, err := admin.Start(admin.Options{Dir: d.e.getenv(variable("run-dir")), Incidents: d.store,
			State: func() admin.State { return admin.State{PID: os.Getpid(), Version: number} }}); err == nil {
			defer s.Close()
		}
	}
	keys := bufio.NewReader(d.e.in)
	for i, s := range scenes {
		if err := d.play(ctx, i, s); err != nil {
			if ctx.Err() != nil {
				return nil // somebody pressed Ctrl-C
			}
			return failed(fmt.Errorf("scene %s: %w", s.recipe, err), "")
		}
		if d.ask && i < len(scenes)-1 && !d.enter(ctx, keys) {
			break
		}
	}
	d.end()
	if d.unexplained > 0 {
		return &codeError{code: faultFound}
	}
	return nil
}

// enter waits for the key; false if no more scenes are wanted.
func (d *demo) enter(ctx context.Context, keys *bufio.Reader) bool {
	fmt.Fprint(d.e.out, d.ink.dim("press Enter to break the next upstream, q and Enter to stop "))
	line := make(chan string, 1)
	go func() { // ends with the line, or with the process
		s, err := keys.ReadString('\n')
		if err != nil {
			s = "q"
		}
		line <- s
	}()
	select {
	case s := <-line:
		fmt.Fprintln(d.e.out)
		return strings.TrimSpace(s) != "q"
	case <-ctx.Done():
		fmt.Fprintln(d.e.out)
		return false
	}
}

// play runs one scene and prints it.
func (d *demo) play(ctx context.Context, i int, s scene) error {
	ctx, cancel := context.WithTimeout(ctx, sceneTime)
	defer cancel()
	r := lab.Find(s.recipe)
	if r == nil {
		return fmt.Errorf("the lab has no such recipe")
	}
	origin, err := r.Start(ctx)
	if err != nil {
		return err
	}
	defer origin.Close()
	targets := []string{origin.Target}
	if s.spare {
		good, err := lab.Good(ctx)
		if err != nil {
			return err
		}
		defer good.Close()
		targets = append(targets, good.Target)
	}
	trails := make(chan *trail.Trail, 4)
	g, err := d.gateway(r, origin, targets, trails)
	if err != nil {
		return err
	}
	reply, err := visit(ctx, g.Addresses()[0].String(), r, origin)
	g.Drain(time.Second) // after it, every trail has been observed
	if err != nil {
		return err
	}
	close(trails)
	var last *trail.Trail
	for t := range trails {
		last = t
	}
	if last == nil {
		return fmt.Errorf("no exchange was recorded")
	}
	d.tell(i, s, r, reply, last)
	return nil
}

// gateway starts the gateway of a scene.
func (d *demo) gateway(r *lab.Recipe, origin *lab.Origin, targets []string, trails chan<- *trail.Trail) (*gateway.Gateway, error) {
	o := gateway.Defaults()
	set := map[string]string{"loops": "1"}
	for k, v := range r.Set {
		set[k] = v
	}
	if origin.CA != "" {
		set["upstream-ca"] = origin.CA
	}
	if origin.Resolver != "" {
		set["resolver"] = origin.Resolver
	}
	if err := settings.Apply(&o, set); err != nil {
		return nil, err
	}
	o.Upstream.Name = upstreamName
	o.Upstream.Balance = upstream.Turns // the endpoint that fails comes first
	var err error
	if o.Upstream.Targets, err = parseTargets(targets); err != nil {
		return nil, err
	}
	at, err := parseListens("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o.Client.Incidents = d.store
	keep := incident.NewStore(1)
	o.Client.Observe = func(t *trail.Trail) {
		select {
		case trails <- keep.Keep(t).Trail: // a copy: the exchange is used again
		default:
		}
	}
	return at.start(&o)
}

// tell prints a scene: what the upstream did, what others make of it, what we
// made of it.
func (d *demo) tell(i int, s scene, r *lab.Recipe, reply reply, t *trail.Trail) {
	w, p := d.e.out, d.ink
	row := fault.Lookup(r.Fault())
	fmt.Fprintf(w, "%2d  %s · %s\n", i+1, p.bold(string(row.ID)), row.Title)
	fmt.Fprintf(w, "    %-8s %s%s\n", "upstream", r.Why, spareWords(s))
	for _, other := range [][2]string{{"nginx", row.Nginx}, {"HAProxy", row.HAProxy}} {
		if other[1] != "" {
			fmt.Fprintf(w, "    %-8s %s\n", other[0], p.dim(other[1]))
		}
	}
	fmt.Fprintf(w, "    %-8s %s\n", "gatewhy", d.verdict(row, reply, t))
	for _, line := range d.proof(row, t) {
		fmt.Fprintf(w, "    %-8s %s\n", "", line)
	}
	fmt.Fprintln(w)
}

func spareWords(s scene) string {
	if s.spare {
		return "; a second endpoint is well"
	}
	return ""
}

// verdict is what the client got, in a line.
func (d *demo) verdict(row *fault.Row, reply reply, t *trail.Trail) string {
	p := d.ink
	status := fmt.Sprint(reply.status)
	switch {
	case t.Rescued:
		d.rescued++
		return p.green(status+" rescued") + fmt.Sprintf(" in %d attempts, the client notices nothing", t.N)
	case t.Fault == nil && noted(t, row.ID):
		d.mended++
		if row.Kind == fault.Notice {
			return p.green(status+" passed on") + ", with a receipt in the log"
		}
		return p.green(status+" mended") + ", with a receipt in the log"
	case t.Fault != nil && t.Fault.ID == row.ID && reply.cut:
		d.told++
		return p.yellow(status+" cut visibly") + ", so that no client takes the piece for the whole"
	case t.Fault != nil && t.Fault.ID == row.ID:
		d.told++
		return p.yellow(status + " explained")
	}
	d.unexplained++
	name := "nothing"
	if t.Fault != nil {
		name = string(t.Fault.ID)
	}
	return p.red(status+" UNEXPLAINED") + ": " + string(row.ID) + " was called " + name
}

// proof is what the gateway can say beside the name.
func (d *demo) proof(row *fault.Row, t *trail.Trail) (lines []string) {
	f := t.Fault
	if f == nil || f.ID != row.ID {
		for _, n := range t.Receipts() {
			if n.ID == row.ID && n.At >= 0 {
				lines = append(lines, fmt.Sprintf("at byte %d of the answer's head (%s)", n.At, row.Rule))
			}
		}
		return lines
	}
	if saw := f.Observed(); !strings.Contains(saw, "{") {
		if row.Rule != "" {
			saw += " (" + row.Rule + ")"
		}
		lines = append(lines, printable(saw))
	}
	if !t.Rescued {
		lines = append(lines, effects[t.Effect(safe(t.Method), idempotent(t.Method))])
	}
	return append(lines, "incident "+string(t.Incident[:]))
}

// effects say for operators what is known of the request's effect.
var effects = [...]string{
	trail.NotSent:  "the request reached no upstream: nothing was done, it can be sent again",
	trail.Harmless: "the request may have been processed, and asked for no change: it can be sent again",
	trail.Repeat:   "the request may have been processed; sent again it has the same effect",
	trail.Unknown:  "nobody can know whether the request was processed: check before sending it again",
}

// safe and idempotent judge a method (RFC 9110 §9.2).
func safe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

func idempotent(method []byte) bool {
	return safe(method) || string(method) == "PUT" || string(method) == "DELETE"
}

func noted(t *trail.Trail, id fault.ID) bool {
	for _, n := range t.Receipts() {
		if n.ID == id {
			return true
		}
	}
	return false
}

// end prints the sums and what to do next.
func (d *demo) end() {
	sum := []string{fmt.Sprintf("%d rescued", d.rescued), fmt.Sprintf("%d mended", d.mended), fmt.Sprintf("%d explained", d.told)}
	if d.unexplained > 0 {
		sum = append(sum, fmt.Sprintf("%d UNEXPLAINED", d.unexplained))
	}
	fmt.Fprintf(d.e.out, "%s\n\n", d.ink.bold(strings.Join(sum, ", ")+"."))
	io.WriteString(d.e.out, "Next:\n"+
		"  gatewhy explain cl_conflict            what that one means, why it is refused, how to mend it\n"+
		"  gatewhy proxy :8080 localhost:3000     the same for your own application\n"+
		"  gatewhy lab :9000                      a server to break by hand: curl localhost:9000\n")
}
