package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/gateway"
	"github.com/gatewhy/gatewhy/internal/handover"
	"github.com/gatewhy/gatewhy/internal/settings"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// upstreamName is what logs call the one upstream that a command line can name.
const upstreamName = "app"

// proxyFlags are the flags that are not settings of the gateway itself.
type proxyFlags struct {
	log, logFile, logTemplate, runDir string
	logSample                         float64
	admin                             string
	token, drain, upgrade             string
	plain                             bool
	printConfig                       bool
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
	f.addTo(c.Flags())
	c.Flags().BoolVar(&f.printConfig, "print-config", false, "start nothing, and print the configuration file that means the same")
	group(c.Flags(), generalGroup, "print-config")
	addSettings(c.Flags())
	c.SetUsageFunc(e.groupedUsage)
	return c
}

// addTo makes flags of them.
func (f *proxyFlags) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.log, "log", "", "access log: `FORM` is text, json, combined (as nginx has it), common, template or off; text on a terminal and json elsewhere unless set")
	flags.StringVar(&f.logTemplate, "log-template", "", "with --log template, the `LINE`, with names such as ${client.address}")
	flags.Float64Var(&f.logSample, "log-sample", 1, "the `SHARE` of good exchanges that get a line, 0 to 1; those with a fault, a notice or a status of 400 or more always do")
	flags.StringVar(&f.logFile, "log-file", "", "append the access log to `FILE` instead of standard output; SIGUSR1 opens it anew")
	flags.StringVar(&f.upgrade, "upgrade-timeout", conf.FormatDuration(handover.DefaultTimeout),
		"how long the new program of an upgrade may take until it serves")
	flags.StringVar(&f.drain, "drain", conf.FormatDuration(gateway.DefaultDrain),
		"`DURATION` that a stop waits for requests under way: under the 90s after which systemd kills")
	flags.BoolVar(&f.plain, "plain", false, "no colour")
	flags.StringVar(&f.runDir, "run-dir", "", "`DIR` of the socket that gatewhy explain asks; /run/gatewhy or the user's own unless set")
	flags.StringVar(&f.admin, "admin-listen", "", "`ADDRESS` where /metrics, /healthz and /readyz are served in plain HTTP, as in localhost:2502")
	flags.StringVar(&f.token, "admin-token", "", "a `FILE` with a token of 16 characters or more: who has it can ask the API on --admin-listen")
	group(flags, generalGroup, "log", "log-file", "log-template", "log-sample", "drain", "upgrade-timeout", "plain", "run-dir", "admin-listen", "admin-token")
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
	upgrade, err := conf.ParseDuration(f.upgrade)
	if err == nil && upgrade <= 0 {
		err = errors.New("it must be more than 0")
	}
	if err != nil {
		return misused(fmt.Errorf("--upgrade-timeout %q: %w", f.upgrade, err), "")
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
	p := &plan{
		options: o, at: at, log: f.log, logFile: f.logFile, logTemplate: f.logTemplate, logSample: f.logSample, runDir: f.runDir, admin: f.admin, token: f.token, drain: drain, upgrade: upgrade, plain: f.plain,
		from: "no config file, 1 route from flags",
		another: func(taken, free string) string {
			return "gatewhy proxy " + strings.Join(append([]string{strings.Replace(args[0], taken, free, 1)}, args[1:]...), " ")
		},
	}
	if c.Flags().Changed("max-connections") {
		p.connections = "--max-connections"
	}
	return e.serve(c.Context(), p)
}

// printFlags prints the configuration that a command line means.
func (e *env) printFlags(flags *pflag.FlagSet, f *proxyFlags, args []string) error {
	l := config.FromFlags(e.source("", flags), strings.Split(args[0], ","), args[1:], upstreamName)
	if err := e.tell(l, "the command line", f.plain); err != nil {
		return misused(errors.New("these words are no configuration"), "gatewhy proxy --help tells what each setting takes")
	}
	return e.printConfig(l, false, false)
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
