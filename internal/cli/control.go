package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/admin"
)

// target are the flags that choose a running gateway.
type target struct {
	runDir string
	pid    int
	plain  bool
}

func (t *target) addTo(c *cobra.Command) {
	c.Flags().StringVar(&t.runDir, "run-dir", "", "`DIR` of the gateway's socket, if it was started with one")
	c.Flags().IntVar(&t.pid, "pid", 0, "the gateway with this process `ID`, if several run")
	c.Flags().BoolVar(&t.plain, "plain", false, "no colour")
}

// find is the socket of the one gateway that is meant.
func (e *env) find(ctx context.Context, t *target) (socket string, state admin.State, err error) {
	dirs := admin.Dirs()
	if t.runDir == "" {
		t.runDir = e.getenv(variable("run-dir"))
	}
	if t.runDir != "" {
		dirs = []string{t.runDir}
	}
	sockets := admin.Sockets(dirs...)
	if t.pid != 0 {
		sockets = slices.DeleteFunc(sockets, func(s string) bool { return admin.PID(s) != t.pid })
	}
	running, err := admin.Running(ctx, sockets)
	if err != nil {
		return "", state, failed(err, "")
	}
	if t.pid == 0 {
		// One that only ends what it has begun is not meant beside the one that took its place.
		serving := maps.Clone(running)
		maps.DeleteFunc(serving, func(_ string, s admin.State) bool { return s.Stopping })
		if len(serving) > 0 {
			running = serving
		}
	}
	switch len(running) {
	case 1:
		socket := slices.Collect(maps.Keys(running))[0]
		return socket, running[socket], nil
	case 0:
		who := "no gateway of this user runs here"
		if t.pid != 0 {
			who = fmt.Sprintf("process %d is no gateway of this user", t.pid)
		}
		return "", state, failed(errors.New(who), "one that was started with --run-dir is found with the same flag; root finds its own")
	}
	lines := []string{"several gateways run:"}
	for _, s := range slices.Sorted(maps.Keys(running)) {
		st := running[s]
		what := st.Config
		if what == "" {
			what = "set up by flags"
		}
		lines = append(lines, fmt.Sprintf("%d  %s, on %s", st.PID, what, strings.Join(st.Listen, " ")))
	}
	return "", state, failed(errors.New(strings.Join(lines, "\n")), "say which one with --pid")
}

func (e *env) reload() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Tell the running gateway to read its configuration again",
		Long: "Tell the running gateway to read its configuration again, and say what changed. One with\n" +
			"errors changes nothing: it is told as gatewhy check tells it, and the exit code is 3.",
		Example: "  gatewhy reload\n  gatewhy reload --pid 4182",
		Args:    arguments(cobra.NoArgs, "no argument; --pid chooses among several"),
		RunE: func(c *cobra.Command, _ []string) error {
			socket, _, err := e.find(c.Context(), &t)
			if err != nil {
				return err
			}
			r, err := admin.PostReload(c.Context(), socket)
			if err != nil {
				return failed(err, "")
			}
			return e.reloaded(&r, &t, asJSON)
		},
	}
	t.addTo(c)
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// reloaded says what came of a reload.
func (e *env) reloaded(r *admin.Reload, t *target, asJSON bool) error {
	if asJSON {
		if err := e.printJSON(r); err != nil {
			return err
		}
	} else {
		fmt.Fprint(e.err, r.Text)
		if r.Done {
			fmt.Fprintln(e.out, e.ink(e.outTTY, t.plain).green("reloaded"), outcome(r))
		}
	}
	switch {
	case r.Done:
		return nil
	case r.Error != "":
		return failed(errors.New(r.Error+"\nnothing has changed"), r.Hint)
	case asJSON:
		return &codeError{code: faultFound}
	}
	return &codeError{faultFound, errors.New("not reloaded: the configuration from before stays in force"), ""}
}

func (e *env) drain() *cobra.Command {
	return e.ending("drain", "End the running gateway when its requests have ended",
		"End the running gateway: no new connections, and requests under way have until its drain\n"+
			"time is over (30s unless set). It waits for the end, as SIGTERM does not.", false)
}

func (e *env) stop() *cobra.Command {
	return e.ending("stop", "End the running gateway at once",
		"End the running gateway at once: requests under way are cut. gatewhy drain lets them end.", true)
}

// lookAgain is the pause between two looks whether a gateway has ended.
const lookAgain = 50 * time.Millisecond

func (e *env) ending(name, short, long string, atOnce bool) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: name, Short: short, Long: long,
		Example: "  gatewhy " + name,
		Args:    arguments(cobra.NoArgs, "no argument; --pid chooses among several"),
		RunE: func(c *cobra.Command, _ []string) error {
			socket, state, err := e.find(c.Context(), &t)
			if err != nil {
				return err
			}
			if err := admin.PostStop(c.Context(), socket, atOnce); err != nil {
				return failed(err, "")
			}
			tick := time.NewTicker(lookAgain)
			defer tick.Stop()
			for !admin.Gone(c.Context(), socket) {
				select {
				case <-c.Context().Done():
					return failed(c.Context().Err(), "")
				case <-tick.C:
				}
			}
			fmt.Fprintf(e.out, "pid %d has ended\n", state.PID)
			return nil
		},
	}
	t.addTo(c)
	return c
}
