package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/gateway"
)

func (e *env) runCommand() *cobra.Command {
	f := &proxyFlags{}
	var a configArguments
	var test, watch bool
	c := &cobra.Command{
		Use:   "run [-c FILE]",
		Short: "Serve what a configuration says",
		Long: "Serve what a configuration says, until a signal or gatewhy stop ends it. gatewhy reload, or\n" +
			"SIGHUP, reads it again: what is new holds for new requests, and nothing is cut. One with\n" +
			"errors changes nothing. Flags and the environment win over the file. Certificates are read\n" +
			"again when their files change; with --watch the configuration is, too.",
		Example: "  gatewhy run\n" +
			"  gatewhy run -c /etc/gatewhy/gatewhy.yaml\n" +
			"  gatewhy run -t                           check it, as gatewhy check does, and end",
		Args: arguments(cobra.NoArgs, "no argument; -c names another file"),
		RunE: func(c *cobra.Command, _ []string) error {
			a.plain = f.plain || e.getenv(variable("plain")) != ""
			path, err := e.configPath(&a, nil)
			if err != nil {
				return err
			}
			if test {
				return e.runCheck(path, &a, false)
			}
			return e.runFile(c, path, a.plain, watch)
		},
	}
	c.Flags().SortFlags = false
	c.Flags().StringVarP(&a.file, "config", "c", "", "the configuration `FILE`, - for standard input; GATEWHY_CONFIG, gatewhy.yaml or /etc/gatewhy/gatewhy.yaml unless set")
	c.Flags().BoolVarP(&test, "test", "t", false, "check the configuration and end")
	c.Flags().BoolVar(&watch, "watch", false, "reload whenever the configuration's files have changed, those that it includes as well")
	c.MarkFlagFilename("config", "yaml", "yml")
	group(c.Flags(), generalGroup, "config", "test", "watch")
	f.addTo(c.Flags())
	addSettings(c.Flags())
	c.SetUsageFunc(e.groupedUsage)
	return c
}

// runFile serves the configuration in a file.
func (e *env) runFile(c *cobra.Command, path string, plain, watch bool) error {
	if watch && path == stdinName {
		return misused(errors.New("standard input cannot be watched"), "name a file with -c, or leave --watch out")
	}
	var files atomic.Pointer[[]string]
	read := func() *config.Loaded {
		from := e.source(path, c.Flags())
		noted := &sources{Files: from.Files}
		from.Files = noted
		l := config.Load(from)
		files.Store(&noted.list)
		return l
	}
	instead := func(text []byte) *config.Loaded {
		from := e.source(path, c.Flags())
		from.Files = &replaced{from.Files, path, text}
		return config.Load(from)
	}
	l := read()
	l.Begin()
	if err := e.tell(l, path, plain); err != nil {
		return err
	}
	p, err := planOf(l, path)
	if err != nil {
		return failed(err, "")
	}
	p.plain = plain
	if path != stdinName {
		p.read, p.instead = read, instead
	}
	if watch {
		p.sources = func() []string { return *files.Load() }
	}
	return e.serve(c.Context(), p)
}

// planOf is the plan of a configuration without errors. The error is of a file
// that has changed since it was checked.
func planOf(l *config.Loaded, path string) (*plan, error) {
	g := l.Gateway
	o, err := g.Options()
	if err != nil {
		return nil, err
	}
	p := &plan{options: o, log: g.Log.Format, logFile: g.Log.File, logTemplate: string(g.Log.Template), logSample: g.Log.Sample, runDir: g.Admin.Dir, admin: string(g.Admin.Listen), token: g.Admin.Token, drain: g.Drain, upgrade: g.UpgradeTimeout, loaded: l, file: path,
		another: func(taken, free string) string { return "listen on " + free + " in " + path }}
	for _, a := range g.Listen.HTTP {
		p.at = append(p.at, &place{Place: a.Place})
	}
	for _, a := range g.Listen.HTTPS {
		secure := *a.Place
		secure.Secure = true
		p.at = append(p.at, &place{Place: &secure})
	}
	if _, ok := l.Places["/limits/connections"]; ok {
		p.connections = "limits.connections"
	}
	routes, upstreams := 0, 0
	for _, s := range g.Sites {
		routes += len(s.Routes)
	}
	g.Each(func(string, *config.Upstream) { upstreams++ })
	p.from = strings.Join([]string{path, count(len(g.Sites), "site"), count(routes, "route"), count(upstreams, "upstream")}, ", ")
	return p, nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// reload reads the configuration again and puts it in force, or changes nothing.
// It tells the service's own log what it tells its caller.
func (s *service) reload() admin.Reload {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.gateway.Upstreams()
	s.notify.say(reloading()...)
	r := s.reread()
	s.reloads.note(r.Done)
	s.notify.say("READY=1", "STATUS="+s.status()) // also if it was refused: it goes on as before
	s.report(&r)
	if subjects := s.subjects(before); r.Done && len(subjects) > 0 {
		s.begin(func(ctx context.Context) { s.look(ctx, subjects, false) })
	}
	return r
}

// reread is reload without a word of it.
func (s *service) reread() admin.Reload {
	old, _ := s.now()
	r := admin.Reload{Config: old.file}
	switch {
	case old.loaded == nil:
		r.Error, r.Hint = "nothing to read again: there is no config file, the settings are flags", "gatewhy run serves a file; gatewhy proxy --print-config writes one"
		return r
	case old.read == nil:
		r.Error, r.Hint = "nothing to read again: the configuration came from standard input", "gatewhy run -c FILE can reload"
		return r
	}
	return s.take(old, old.read())
}

// take puts a configuration in the place of old's.
func (s *service) take(old *plan, l *config.Loaded) admin.Reload {
	r := admin.Reload{Config: old.file}
	if len(l.Report.Problems) > 0 {
		var b strings.Builder
		l.Report.Render(&b, false)
		b.WriteString(l.Report.Summary(old.file) + "\n")
		r.Text, r.Problems = b.String(), l.Report.JSON()
	}
	if l.Report.Failed() {
		return r
	}
	r.Changes = config.Differences(old.loaded, l)
	fail := func(err error, hint string) admin.Reload {
		r.Error, r.Hint = err.Error(), hint
		return r
	}
	if fixed := needRestart(old.loaded.Gateway, l.Gateway, r.Changes); len(fixed) > 0 {
		return fail(fmt.Errorf("a running gateway cannot change this: %s", strings.Join(fixed, "; ")), "undo it, or restart the gateway")
	}
	p, err := planOf(l, old.file)
	if err != nil {
		return fail(err, "")
	}
	p.plain, p.read, p.instead, p.sources = old.plain, old.read, old.instead, old.sources
	o := &p.options
	o.Loops, o.Epoll = old.options.Loops, old.options.Epoll
	s.e.bound(p)
	if err := p.at.open(o, func() error { return s.gateway.Apply(*o) }); err != nil {
		c := cannotApply(err, p.at, old.at, p.another)
		return fail(c.err, c.hint)
	}
	s.mu.Lock()
	s.plan, s.read, s.lacks = p, time.Now(), nil // it has all that it names
	s.mu.Unlock()
	r.Done = true
	return r
}

// needRestart are the changes that a running gateway cannot make.
func needRestart(old, next *config.Gateway, changes []string) (list []string) {
	for subject, same := range map[string]bool{"log": old.Log == next.Log, "admin": old.Admin == next.Admin, "engine": old.Engine == next.Engine} {
		if same {
			continue
		}
		for _, c := range changes {
			if strings.HasPrefix(c, subject+":") {
				list = append(list, c)
			}
		}
	}
	slices.Sort(list)
	return list
}

// cannotApply explains why a configuration cannot be put in force. A place that
// the gateway itself takes with another one is no other process's fault.
func cannotApply(err error, next, old listens, another func(taken, free string) string) *codeError {
	var where *gateway.ListenError
	if errors.As(err, &where) && errors.Is(err, syscall.EADDRINUSE) {
		at := next.at(where.Address)
		if i := slices.IndexFunc(old, func(o *place) bool { return at.Overlaps(o.Place) }); i >= 0 {
			return &codeError{cannotRun, fmt.Errorf("cannot listen on %s: this gateway listens on %s, which would have to end first", at.Written(), old[i].Written()),
				"restart the gateway"}
		}
	}
	var c *codeError
	errors.As(cannotListen(err, next, another), &c) // it always is one
	return c
}

// report tells the service's own log what came of a reload.
func (s *service) report(r *admin.Reload) {
	var b strings.Builder
	b.WriteString(r.Text)
	switch {
	case r.Done:
		fmt.Fprintf(&b, "%s %s\n", s.ink.green("reloaded"), outcome(r))
	case r.Error != "":
		fmt.Fprintf(&b, "%s %s\n", s.ink.red("not reloaded:"), r.Error)
		if r.Hint != "" {
			fmt.Fprintf(&b, "%s %s\n", s.ink.green("hint:"), r.Hint)
		}
	default:
		fmt.Fprintf(&b, "%s %s has errors; the configuration from before stays in force\n", s.ink.red("not reloaded:"), r.Config)
	}
	fmt.Fprint(s.e.err, b.String())
}

// changesShown bounds the changes that are told in words.
const changesShown = 20

// outcome is a good reload in words.
func outcome(r *admin.Reload) string {
	if len(r.Changes) == 0 {
		return r.Config + ": it means the same as before; the files that it names were read again"
	}
	lines := []string{fmt.Sprintf("%s: %s", r.Config, count(len(r.Changes), "change"))}
	for i, c := range r.Changes {
		if i == changesShown {
			lines = append(lines, fmt.Sprintf("  and %d more", len(r.Changes)-i))
			break
		}
		lines = append(lines, "  "+c)
	}
	return strings.Join(lines, "\n")
}
