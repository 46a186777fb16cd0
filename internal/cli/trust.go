package cli

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/smallstep/truststore"
	"github.com/spf13/cobra"
)

func (e *env) trust() *cobra.Command {
	var t target
	var printIt bool
	c := &cobra.Command{
		Use:   "trust",
		Short: "Have this machine trust the running gateway's internal authority",
		Long: "Have this machine trust the running gateway's internal authority, which makes the certificates\n" +
			"of sites with names for private use: its root comes to the system's store, and to Firefox's if\n" +
			"certutil is there. Both belong to root, so sudo is asked for its rights where it is needed.",
		Example: "  gatewhy trust\n  gatewhy trust --print > root.pem\n  curl --cacert root.pem https://localhost",
		Args:    arguments(cobra.NoArgs, "no argument; --pid chooses among several gateways"),
		RunE: func(c *cobra.Command, _ []string) error {
			root, err := e.authority(c, &t)
			if err != nil {
				return err
			}
			if printIt {
				return pem.Encode(e.out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
			}
			if err := truststore.Install(root, truststore.WithFirefox()); err != nil {
				return untrusting(err)
			}
			fmt.Fprintf(e.out, "%s %s, until %s\n", e.ink(e.outTTY, t.plain).green("trusted:"), printable(root.Subject.CommonName), root.NotAfter.UTC().Format(time.DateOnly))
			fmt.Fprintln(e.out, "browsers that run learn of it when they are started again; gatewhy untrust takes it back")
			return nil
		},
	}
	t.addTo(c)
	c.Flags().BoolVar(&printIt, "print", false, "only print the root, in PEM form, for machines and programs that have a store of their own")
	return c
}

func (e *env) untrust() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:     "untrust",
		Short:   "Take back what gatewhy trust did",
		Long:    "Take the root of the running gateway's internal authority out of the stores where gatewhy trust\nhas put it.",
		Example: "  gatewhy untrust",
		Args:    arguments(cobra.NoArgs, "no argument; --pid chooses among several gateways"),
		RunE: func(c *cobra.Command, _ []string) error {
			root, err := e.authority(c, &t)
			if err != nil {
				return err
			}
			if err := truststore.Uninstall(root, truststore.WithFirefox()); err != nil {
				return untrusting(err)
			}
			fmt.Fprintf(e.out, "no longer trusted: %s\n", printable(root.Subject.CommonName))
			return nil
		},
	}
	t.addTo(c)
	return c
}

// authority is the root of a running gateway's internal authority.
func (e *env) authority(c *cobra.Command, t *target) (*x509.Certificate, error) {
	_, state, err := e.find(c.Context(), t)
	if err != nil {
		return nil, err
	}
	switch a := state.Authority; {
	case a == nil:
		return nil, failed(errors.New("this gateway has no internal authority"), "it gets one with a site of a name for private use and an HTTPS listener, as in `sites: { \"https://localhost\": localhost:3000 }`")
	case a.Error != "":
		return nil, failed(errors.New(a.Error), "")
	default:
		b, _ := pem.Decode([]byte(a.Certificate))
		if b == nil {
			return nil, failed(errors.New("the gateway tells of an authority without a certificate"), "")
		}
		root, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, failed(err, "")
		}
		return root, nil
	}
}

// untrusting says why a store could not be changed.
func untrusting(err error) error {
	const print = "gatewhy trust --print writes the root for a store that you know how to change"
	if errors.Is(err, truststore.ErrNotSupported) {
		return failed(errors.New("this system has no store that is known here"), print)
	}
	var c *truststore.CmdError
	if errors.As(err, &c) {
		said := strings.Join(strings.Fields(string(bytes.TrimSpace(c.Out()))), " ")
		return failed(fmt.Errorf("%s: %w: %s", strings.Join(c.Cmd().Args, " "), c.Err(), printable(said)), "it needs the rights of root; "+print)
	}
	return failed(err, print)
}
