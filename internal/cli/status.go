package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/admin"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

func (e *env) status() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the running gateway and its endpoints are",
		Long: "Show how the running gateway is: where it listens, what it was set up by, which state each\n" +
			"endpoint is in and why, and when certificates end.",
		Example: "  gatewhy status\n  gatewhy status --json",
		Args:    arguments(cobra.NoArgs, "no argument; --pid chooses among several"),
		RunE: func(c *cobra.Command, _ []string) error {
			_, st, err := e.find(c.Context(), &t)
			if err != nil {
				return err
			}
			if asJSON {
				return e.printJSON(&st)
			}
			e.printState(&st, e.ink(e.outTTY, t.plain))
			return nil
		},
	}
	t.addTo(c)
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// printState prints a gateway's state.
func (e *env) printState(st *admin.State, p ink) {
	from := "set up by flags"
	if st.Config != "" {
		from = st.Config
		if st.Loaded != nil {
			from += ", read " + ago(*st.Loaded)
		}
	}
	fmt.Fprintf(e.out, "%s · pid %d · up for %s · %s\n", p.bold("gatewhy "+st.Version), st.PID, time.Since(st.Started).Round(time.Second), from)
	fmt.Fprintf(e.out, "listening on %s · %s since the start\n\n", strings.Join(st.Listen, ", "), count(int(st.Incidents), "incident"))
	for _, why := range st.Lacks {
		fmt.Fprintf(e.out, "%s %s\n", p.red("lacks:"), printable(why))
	}
	if len(st.Lacks) > 0 {
		fmt.Fprintln(e.out)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "UPSTREAM\tENDPOINT\tSTATE\tWHY")
	for _, x := range st.Endpoints {
		why := x.Down
		if why == "" && x.Why != "" {
			why = fmt.Sprintf("%s in a row, the last one %s (gatewhy explain %s)", count(x.Failures, "failure"), x.Why, x.Why)
		}
		if x.Limit > 0 && why == "" {
			why = fmt.Sprintf("%d of %d requests", x.Requests, x.Limit)
			if x.Learned != "" {
				why = fmt.Sprintf("%d of %s", x.Requests, x.Learned)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.Upstream, x.Name, x.State, printable(why))
	}
	w.Flush()
	// Coloured when the columns stand: escapes have no width.
	for line := range strings.Lines(b.String()) {
		f := strings.Fields(line)
		switch {
		case len(f) < 3:
		case f[2] == string(upstream.StateUp):
			line = strings.Replace(line, " up ", " "+p.green("up")+" ", 1)
		case f[2] == string(upstream.StateDown), f[2] == string(upstream.StateEjected):
			line = strings.Replace(line, " "+f[2]+" ", " "+p.red(f[2])+" ", 1)
		case f[2] == string(upstream.StateDrained), f[2] == string(upstream.StateMaintenance):
			line = strings.Replace(line, " "+f[2]+" ", " "+p.yellow(f[2])+" ", 1)
		}
		fmt.Fprintln(e.out, strings.TrimRight(line, " \n"))
	}
	if len(st.Certificates) > 0 {
		fmt.Fprintln(e.out)
	}
	for _, c := range st.Certificates {
		by := ""
		if c.Issuer != "" && c.Issuer != c.Name {
			by = ", by " + printable(c.Issuer)
		}
		fmt.Fprintf(e.out, "certificate for %s until %s, %s%s\n", printable(c.Name), c.NotAfter.Format(time.DateOnly), days(time.Until(c.NotAfter)), by)
	}
}

func ago(t time.Time) string { return time.Since(t).Round(time.Second).String() + " ago" }

func days(d time.Duration) string {
	if d < 0 {
		return "expired"
	}
	return count(int(d/(24*time.Hour)), "day")
}

func (e *env) endpoint() *cobra.Command {
	c := &cobra.Command{
		Use:   "endpoint",
		Short: "Take an endpoint of the running gateway out, or put it back",
		Long: "Take an endpoint of the running gateway out, or put it back: for an upgrade of what is behind it.\n" +
			"gatewhy status shows them. What is said holds through reloads, and until the gateway ends.",
	}
	c.AddCommand(
		e.endpointState(admin.DrainEndpoint, "Send an endpoint no new requests; those under way and sessions that a cookie binds to it go on"),
		e.endpointState(admin.MaintainEndpoint, "Send an endpoint no requests at all, and do not look how it is"),
		e.endpointState(admin.ResumeEndpoint, "Send an endpoint requests again"))
	return c
}

func (e *env) endpointState(op admin.Operation, short string) *cobra.Command {
	var t target
	name := string(op)
	c := &cobra.Command{
		Use:     name + " [UPSTREAM/]ENDPOINT",
		Short:   short,
		Long:    short + ". ENDPOINT is a name as gatewhy status shows it; with UPSTREAM/ before it\nwhere several upstreams have it.",
		Example: "  gatewhy endpoint " + name + " 127.0.0.1:3001\n  gatewhy endpoint " + name + " api/127.0.0.1:3001",
		Args:    arguments(cobra.ExactArgs(1), "an endpoint, as gatewhy status shows it"),
		RunE: func(c *cobra.Command, args []string) error {
			socket, st, err := e.find(c.Context(), &t)
			if err != nil {
				return err
			}
			up, end := "", args[0]
			if !slices.ContainsFunc(st.Endpoints, func(x admin.Endpoint) bool { return x.Name == end }) { // https://… has a slash as well
				if a, b, ok := strings.Cut(end, "/"); ok {
					up, end = a, b
				}
			}
			what, err := admin.PostEndpoint(c.Context(), socket, up, end, op)
			if err != nil {
				return failed(err, "gatewhy status shows upstreams and endpoints")
			}
			fmt.Fprintln(e.out, what)
			return nil
		},
	}
	t.addTo(c)
	return c
}

// endpoint takes an endpoint out or puts it back.
func (s *service) endpoint(up, end string, op admin.Operation) (string, error) {
	var found []*upstream.Endpoint
	var in []string
	left := 0
	for _, u := range s.gateway.Upstreams() {
		if up != "" && u.Name() != up {
			continue
		}
		for _, x := range u.Endpoints() {
			if x.Name() != end {
				continue
			}
			found, in = append(found, x), append(in, u.Name())
			for _, other := range u.Endpoints() {
				if other != x && other.State() != upstream.StateDrained && other.State() != upstream.StateMaintenance {
					left++
				}
			}
		}
	}
	switch {
	case len(found) == 0 && up != "":
		return "", fmt.Errorf("upstream %s has no endpoint %s", up, end)
	case len(found) == 0:
		return "", fmt.Errorf("there is no endpoint %s", end)
	case len(found) > 1:
		return "", fmt.Errorf("%s is in several upstreams: write %s", end, in[0]+"/"+end+" or "+in[1]+"/"+end)
	}
	x := found[0]
	switch {
	case op == admin.DrainEndpoint && !x.Drain("an operator took it out"),
		op == admin.MaintainEndpoint && !x.Maintain("an operator set it to maintenance"):
		return "", errors.New(end + " is out already")
	case op != admin.ResumeEndpoint && left == 0:
		return fmt.Sprintf("%s of %s is out, and it was the last one: requests for %[2]s get 503 until one is put back", end, in[0]), nil
	case op == admin.DrainEndpoint:
		return fmt.Sprintf("%s of %s gets no new requests; those under way go on", end, in[0]), nil
	case op == admin.MaintainEndpoint:
		return fmt.Sprintf("%s of %s gets no requests, and nobody looks how it is; those under way go on", end, in[0]), nil
	case !x.Resume("an operator put it back"):
		return "", errors.New(end + " is not out")
	}
	return fmt.Sprintf("%s of %s is %s", end, in[0], x.State()), nil
}
