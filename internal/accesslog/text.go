package accesslog

import (
	"bytes"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// The colours of a terminal (ECMA-48 SGR).
const (
	plainInk = "\x1b[0m"
	dim      = "\x1b[2m"
	red      = "\x1b[31m"
	green    = "\x1b[32m"
	yellow   = "\x1b[33m"
)

// AppendText appends the line of t for people at a terminal, with its line end:
// time of day in UTC, status, request, and if there was a fault its name, what
// it means, who, and the command that tells more. What peers sent is escaped as
// in AppendJSON, so it can never act on the terminal. It allocates nothing but
// the growth of dst.
func AppendText(dst []byte, t *trail.Trail, color bool) []byte {
	ink := func(dst []byte, s string) []byte {
		if color {
			return append(dst, s...)
		}
		return dst
	}
	r := row(t)
	dst = ink(dst, dim)
	dst = appendClock(dst, t.Began)
	dst = ink(dst, plainInk)
	dst = append(dst, ' ', ' ')
	dst = ink(dst, statusInk(t))
	if t.Status == 0 {
		dst = append(dst, "---"...)
	} else {
		dst = appendInt(dst, int64(t.Status))
	}
	dst = ink(dst, plainInk)
	dst = append(dst, ' ')
	from := len(dst)
	dst = appendEscaped(dst, t.Method)
	dst = append(dst, ' ')
	dst = appendEscaped(dst, t.Authority)
	path, query, asked := bytes.Cut(t.Path, []byte("?"))
	dst = appendPath(dst, path)
	if asked {
		dst = append(dst, '?')
		dst = appendQuery(dst, query)
	}
	// Columns line up while requests are short; a long one is not cut.
	for i := len(dst) - from; i < 36; i++ {
		dst = append(dst, ' ')
	}
	dst = append(dst, ' ', ' ')
	if t.Call && t.GRPCStatus > 0 {
		dst = append(dst, "grpc-status "...)
		dst = appendInt(dst, int64(t.GRPCStatus))
		dst = append(dst, ' ', ' ')
	}
	if r != nil {
		dst = ink(dst, statusInk(t))
		dst = appendFaultText(dst, t, r)
		dst = ink(dst, plainInk)
		dst = append(dst, ' ', ' ')
	}
	for _, n := range t.Receipts() {
		dst = append(dst, '+')
		dst = append(dst, n.ID...)
		dst = append(dst, ' ')
	}
	dst = ink(dst, dim)
	dst = appendTook(dst, int64(t.Ended))
	dst = ink(dst, plainInk)
	if r != nil && t.Incident != ([8]byte{}) {
		dst = append(dst, "  → gatewhy explain "...)
		dst = append(dst, t.Incident[:]...)
	}
	return append(dst, '\n')
}

func statusInk(t *trail.Trail) string {
	switch {
	case t.Status >= 500 || t.Status == 0 || t.Cut || t.Call && t.GRPCStatus > 0 && t.Fault != nil:
		return red
	case t.Status >= 400 || t.Fault != nil:
		return yellow
	}
	return green
}

// appendFaultText writes what went wrong, with whom, and how often it was tried.
func appendFaultText(dst []byte, t *trail.Trail, r *fault.Row) []byte {
	if t.Rescued {
		dst = append(dst, "rescued: "...)
	}
	dst = append(dst, t.Fault.ID...)
	dst = append(dst, ": "...)
	dst = append(dst, r.Title...)
	a := culprit(t)
	if a != nil {
		dst = append(dst, " · "...)
		dst = appendEscaped(dst, a.Upstream)
		if a.Address != "" || a.Endpoint != "" {
			dst = append(dst, '@')
		}
		if a.Address != "" {
			dst = appendEscaped(dst, a.Address)
		} else {
			dst = appendEscaped(dst, a.Endpoint)
		}
	}
	if t.N > 1 {
		dst = append(dst, " ("...)
		dst = appendInt(dst, int64(t.N))
		dst = append(dst, " tries)"...)
	}
	if t.Cut {
		dst = append(dst, ", answer cut"...)
	}
	if t.Withheld != nil {
		dst = append(dst, ", not tried again: "...)
		dst = append(dst, t.Withheld.ID...)
	}
	return dst
}

// culprit is the attempt that met the trail's fault, nil if none did.
func culprit(t *trail.Trail) *trail.Attempt {
	for i := range t.Tries() {
		if f := t.Attempts[i].Fault; f != nil && (f == t.Fault || f.ID == t.Fault.ID) {
			return &t.Attempts[i]
		}
	}
	return nil
}

// appendTook writes a duration as people say it: 0.4ms, 31ms, 2.50s.
func appendTook(dst []byte, ns int64) []byte {
	switch {
	case ns < 10e6:
		tenths := (ns + 50_000) / 100_000
		dst = appendInt(dst, tenths/10)
		dst = append(dst, '.', byte('0'+tenths%10))
		return append(dst, "ms"...)
	case ns < 1e9:
		dst = appendInt(dst, (ns+500_000)/1e6)
		return append(dst, "ms"...)
	}
	cents := (ns + 5e6) / 1e7
	dst = appendInt(dst, cents/100)
	return append(dst, '.', byte('0'+cents/10%10), byte('0'+cents%10), 's')
}
