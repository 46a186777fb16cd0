package cli

import (
	"errors"
	"fmt"
	"net"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gatewhy/gatewhy/internal/lab"
	"github.com/gatewhy/gatewhy/internal/listen"
)

func (e *env) lab() *cobra.Command {
	return &cobra.Command{
		Use:   "lab LISTEN",
		Short: "Run a server that misbehaves on demand",
		Long: "Run a server that misbehaves on demand: /fault/NAME breaks its answer in that way, /good\n" +
			"answers well, and / lists all. Put a gateway before it to see what it makes of each.\n\n" +
			"LISTEN is an address such as 127.0.0.1:9000; without a host, :9000, it is this machine only.",
		Example: "  gatewhy lab :9000\n  gatewhy proxy :8080 localhost:9000\n  curl -i localhost:8080/fault/header_name_bad_char",
		Args:    arguments(cobra.ExactArgs(1), "an address to listen on"),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := listen.Parse(args[0])
			if err != nil {
				return misused(err, "LISTEN is such as :9000 or 127.0.0.1:9000")
			}
			if at.Path != "" || at.Secure {
				return misused(errors.New("the lab listens on TCP and in plain HTTP only"), "LISTEN is such as :9000 or 127.0.0.1:9000")
			}
			address := at.Alternatives[0][0].IP.String()
			if strings.HasPrefix(args[0], ":") {
				// A server that breaks on purpose is nobody else's business.
				address = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(at.Port)))
			}
			ln, err := net.Listen("tcp", address)
			if err != nil {
				return labTaken(err, at)
			}
			where := ln.Addr().String()
			if _, port, err := net.SplitHostPort(where); err == nil && at.Host == "localhost" {
				where = "localhost:" + port
			}
			fmt.Fprintf(e.err, "gatewhy %s lab · %d ways to misbehave · http://%s lists them\n\n"+
				"  in another shell   gatewhy proxy :8080 %[3]s\n"+
				"  in a third         curl -i localhost:8080/fault/header_name_bad_char\n\n", number, len(lab.Recipes()), where)
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if err := lab.Serve(ctx, ln); err != nil {
				return failed(err, "")
			}
			return nil
		},
	}
}

func labTaken(err error, at *listen.Place) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return failed(err, "")
	}
	who := "another process"
	if p := listener(at.Port); p != "" {
		who = p
	}
	hint := "stop it, or name another port"
	if next := freePort(at); next != 0 {
		hint = "stop it, or take the next free port: gatewhy lab " + at.WithPort(next)
	}
	return failed(fmt.Errorf("cannot listen on %s: %s listens there", at.Text, who), hint)
}
