package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/gatewhy/gatewhy/internal/incident"
)

// askTimeout bounds one question to one gateway: it is on this machine.
const askTimeout = 3 * time.Second

// maxAnswer bounds what is read of an answer. A record holds at most 8 attempts
// with 5 KiB of evidence each, twice: as base64 and as text.
const maxAnswer = 4 << 20

// Found is an incident and the gateway that kept it.
type Found struct {
	Record *incident.Record
	JSON   []byte // as the gateway wrote it
	Socket string
}

// NotFoundError says that no running gateway keeps an incident.
type NotFoundError struct {
	Incident string
	Asked    int     // gateways that answered
	Failed   []error // of those that did not
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("incident %s is kept by none of the %d running gateways that could be asked", e.Incident, e.Asked)
}

func (e *NotFoundError) Unwrap() []error { return e.Failed }

// Find asks the gateways behind the sockets for an incident. Sockets of
// processes that are gone do not count. The error is a *NotFoundError.
func Find(ctx context.Context, sockets []string, id [8]byte) (*Found, error) {
	missing := &NotFoundError{Incident: string(id[:])}
	for _, socket := range sockets {
		status, body, err := get(ctx, socket, "/incidents/"+string(id[:]))
		switch {
		case err == nil && status == http.StatusOK:
			r, err := incident.UnmarshalRecord(body)
			if err != nil {
				missing.Failed = append(missing.Failed, fmt.Errorf("%s: %w", socket, err))
				continue
			}
			return &Found{Record: r, JSON: body, Socket: socket}, nil
		case err == nil:
			missing.Asked++
		case !gone(err):
			missing.Failed = append(missing.Failed, fmt.Errorf("%s: %w", socket, err))
		}
	}
	return nil, missing
}

// ReadState asks one gateway for its state.
func ReadState(ctx context.Context, socket string) (State, error) {
	var s State
	status, body, err := get(ctx, socket, "/state")
	if err != nil {
		return s, err
	}
	if status != http.StatusOK {
		return s, fmt.Errorf("%s answered %d", socket, status)
	}
	return s, json.Unmarshal(body, &s)
}

func get(ctx context.Context, socket, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return ask(ctx, http.MethodGet, socket, path)
}

// doTimeout bounds what a gateway was told to do: to read files, look for
// certificates and open sockets.
const doTimeout = 60 * time.Second

func ask(ctx context.Context, method, socket, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, doTimeout)
	defer cancel()
	dialer := net.Dialer{}
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}
	q, err := http.NewRequestWithContext(ctx, method, "http://gatewhy"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	r, err := t.RoundTrip(q)
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	body, err = io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is too long")
	}
	return r.StatusCode, body, err
}

// gone reports whether err says that nobody listens on the socket any more.
func gone(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}
