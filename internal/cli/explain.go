package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
	"github.com/gatewhy/gatewhy/internal/explain"
	"github.com/gatewhy/gatewhy/internal/incident"
)

// suggested is how many names are offered for one that is unknown.
const suggested = 5

func (e *env) explain() *cobra.Command {
	var f struct {
		json, plain bool
		runDir      string
	}
	c := &cobra.Command{
		Use:   "explain [FAULT | INCIDENT]",
		Short: "Say what a fault means, or what happened in one incident",
		Long: "Say what a fault means, or what happened in one incident.\n\n" +
			"Without an argument it lists all faults, and the problems that gatewhy check can find. An\n" +
			"incident is looked up in the gateways that run on this machine.",
		Example: "  gatewhy explain                        all faults\n" +
			"  gatewhy explain header_name_bad_char   one fault: meaning, causes, what to do\n" +
			"  gatewhy explain 7K3QM2VX               one incident, with the bytes that prove it",
		Args: arguments(cobra.MaximumNArgs(1), "one name of a fault, or one incident id"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, r := range fault.Catalogue() {
				names = append(names, string(r.ID)+"\t"+r.Title)
			}
			for _, r := range config.Rules() {
				names = append(names, r.Name+"\t"+r.Title)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			p := e.ink(e.outTTY, f.plain)
			switch {
			case len(args) == 0 && f.json:
				return e.printJSON(faultsJSON(fault.Catalogue()))
			case len(args) == 0:
				listFaults(e.out, p)
				return nil
			case fault.Known(fault.ID(args[0])):
				row := fault.Lookup(fault.ID(args[0]))
				if f.json {
					return e.printJSON(rowJSON(row))
				}
				explain.Page(e.out, row, p.on)
				return nil
			}
			if rule := config.FindRule(args[0]); rule != nil {
				if f.json {
					return e.printJSON(ruleJSON{rule.Name, rule.Title, rule.Why, rule.Wrong, rule.Right})
				}
				return e.printRule(rule, p)
			}
			if id, ok := incident.Parse(args[0]); ok {
				dirs := admin.Dirs()
				if dir := cmp.Or(f.runDir, e.getenv(variable("run-dir"))); dir != "" {
					dirs = []string{dir}
				}
				return e.explainIncident(c.Context(), admin.Sockets(dirs...), id, f.json, p)
			}
			return unknownFault(args[0])
		},
	}
	c.Flags().BoolVar(&f.json, "json", false, "as JSON")
	c.Flags().BoolVar(&f.plain, "plain", false, "no colour")
	c.Flags().StringVar(&f.runDir, "run-dir", "", "`DIR` of the gateway's socket, as it was told to gatewhy proxy")
	return c
}

func (e *env) explainIncident(ctx context.Context, sockets []string, id [8]byte, asJSON bool, p ink) error {
	found, err := admin.Find(ctx, sockets, id)
	if err != nil {
		var none *admin.NotFoundError
		hint := "a gateway keeps its last " + fmt.Sprint(incident.DefaultSize) + " incidents while it runs; its access log has the rest"
		if errors.As(err, &none) && none.Asked == 0 {
			if err = fmt.Errorf("incident %s cannot be looked up: no gateway runs here that this user may ask", id[:]); len(none.Failed) > 0 {
				err = fmt.Errorf("incident %s cannot be looked up: %w", id[:], errors.Join(none.Failed...))
			}
			hint = "ask as the user that runs the gateway, on its machine; --run-dir names the directory of its socket"
		}
		return failed(err, hint)
	}
	if asJSON {
		_, err := e.out.Write(found.JSON)
		return err
	}
	explain.Incident(e.out, found.Record.Trail, p.on)
	return nil
}

func unknownFault(word string) error {
	var names []string
	for _, r := range fault.Catalogue() {
		names = append(names, string(r.ID))
	}
	for _, r := range config.Rules() {
		names = append(names, r.Name)
	}
	return misused(fmt.Errorf("there is no fault %q, and it is no incident id", word),
		"the nearest names are "+strings.Join(conf.Nearest(word, names, suggested), ", ")+"; gatewhy explain lists all")
}

// families put the faults under headings: first whose message or machine it is,
// then how far an attempt had come.
var families = []struct {
	heading string
	of      func(*fault.Row) bool
}{
	{"The client's request", func(r *fault.Row) bool { return r.Side == fault.Client }},
	{"The gateway and its machine", func(r *fault.Row) bool { return r.Side == fault.Gateway }},
	{"Finding the upstream's address", phases(fault.Resolve)},
	{"Connecting", phases(fault.Connect)},
	{"TLS to the upstream", phases(fault.Secure)},
	{"Sending the request, and connections used again", phases(fault.Select, fault.Send)},
	{"Waiting for the answer", phases(fault.Await)},
	{"The head of the answer", phases(fault.Head)},
	{"The body of the answer", phases(fault.Body)},
	{"Upgraded connections", phases(fault.Tunnel)},
	{"Others", func(*fault.Row) bool { return true }},
}

func phases(list ...fault.Phase) func(*fault.Row) bool {
	return func(r *fault.Row) bool {
		for _, p := range list {
			if r.Phase == p {
				return true
			}
		}
		return false
	}
}

func family(r *fault.Row) int {
	for i, f := range families {
		if f.of(r) {
			return i
		}
	}
	return len(families) - 1
}

// listFaults prints all faults under their headings.
func listFaults(w io.Writer, p ink) {
	rows := make([][]*fault.Row, len(families))
	width := 0
	for _, r := range fault.Catalogue() {
		i := family(r)
		rows[i] = append(rows[i], r)
		width = max(width, len(r.ID))
	}
	for i, list := range rows {
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s\n", p.bold(families[i].heading))
		for _, r := range list {
			fmt.Fprintf(w, "  %-*s  %s\n", width, r.ID, r.Title)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s\n", p.bold("A configuration, told by gatewhy check"))
	width = 0
	for _, r := range config.Rules() {
		width = max(width, len(r.Name))
	}
	for _, r := range config.Rules() {
		fmt.Fprintf(w, "  %-*s  %s\n", width, r.Name, r.Title)
	}
	fmt.Fprintf(w, "\n%d faults, and %d problems of configurations. gatewhy explain NAME tells more of one.\n", len(fault.Catalogue()), len(config.Rules()))
}

// faultJSON is a row of the catalogue for machines. Its names are those of the
// log and of problem+json where they mean the same.
type faultJSON struct {
	Fault    fault.ID   `json:"fault"`
	Title    string     `json:"title"`
	Phase    string     `json:"phase"`
	Side     string     `json:"side"`
	Kind     string     `json:"kind"`
	Status   int        `json:"status,omitempty"`
	Error    string     `json:"error,omitempty"` // of Proxy-Status (RFC 9209 §2.3)
	Retry    string     `json:"retry"`
	Rule     string     `json:"rule,omitempty"`
	Requires string     `json:"requires,omitempty"`
	Observed string     `json:"observed,omitempty"`
	Causes   []string   `json:"causes,omitempty"`
	Fix      []string   `json:"fix,omitempty"`
	Bearing  string     `json:"live_with_it,omitempty"`
	Related  []fault.ID `json:"related,omitempty"`
	Example  []byte     `json:"example_base64,omitempty"`
	Mark     *int       `json:"example_offset,omitempty"` // of the offending byte
	Nginx    string     `json:"nginx,omitempty"`
	HAProxy  string     `json:"haproxy,omitempty"`
}

var kinds = [...]string{fault.Failure: "failure", fault.Repair: "repair", fault.Notice: "notice"}

func rowJSON(r *fault.Row) faultJSON {
	j := faultJSON{Fault: r.ID, Title: r.Title, Phase: r.Phase.String(), Side: r.Side.String(), Kind: kinds[r.Kind],
		Status: r.Status, Error: r.Proxy, Retry: r.Retry.String(), Rule: r.Rule, Requires: r.Requires, Observed: r.Saw,
		Causes: r.Causes, Fix: r.Fix, Bearing: r.Bearing, Related: r.Related, Example: []byte(r.Example),
		Nginx: r.Nginx, HAProxy: r.HAProxy}
	if r.Example != "" && r.Mark >= 0 {
		j.Mark = &r.Mark
	}
	return j
}

func faultsJSON(rows []*fault.Row) []faultJSON {
	list := make([]faultJSON, 0, len(rows))
	for _, r := range rows {
		list = append(list, rowJSON(r))
	}
	return list
}

func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// ruleJSON is a kind of problem of configurations for programs.
type ruleJSON struct {
	Problem string `json:"problem"`
	Title   string `json:"title"`
	Why     string `json:"why"`
	Wrong   string `json:"wrong,omitempty"`
	Right   string `json:"right,omitempty"`
}

// longExample is how long an example may be to be shown.
const longExample = 1000

// printRule prints what a kind of problem is, with an example, what check says
// of it, and how it should be.
func (e *env) printRule(r *config.Rule, p ink) error {
	fmt.Fprintf(e.out, "%s: %s\n\n", p.bold(r.Name), r.Title)
	for _, line := range wrap(r.Why, 80) {
		fmt.Fprintln(e.out, line)
	}
	indented := func(heading, text string) {
		fmt.Fprintf(e.out, "%s\n\n", p.bold(heading))
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\n"); line != "" {
				line = "  " + printable(line)
			}
			fmt.Fprintln(e.out, line)
		}
	}
	if r.Wrong == "" || len(r.Wrong) > longExample {
		return nil
	}
	fmt.Fprintln(e.out)
	indented("Wrong", r.Wrong)
	fmt.Fprintln(e.out)
	if err := r.Check().Report.Render(e.out, p.on); err != nil {
		return err
	}
	if r.Right != "" {
		indented("Right", r.Right)
	}
	return nil
}
