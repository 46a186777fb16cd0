package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// Control is what people can tell a gateway to do. Its functions are called from
// any goroutine, and nil ones are answered with 404.
type Control struct {
	// Reload reads the configuration again and says what came of it.
	Reload func() Reload
	// Stop ends the gateway: after the requests under way, or at once. It does not wait.
	Stop func(atOnce bool)
	// Upgrade starts the program anew, hands it the sockets and, when it serves, ends this
	// one after its requests. It returns the new process, or why there is none.
	Upgrade func() (pid int, err error)
	// Config is the configuration in force, nil if there is none, and Put puts another one in
	// its place, as Reload does with the file; write puts it into the file as well. Put asks
	// still whether the one in force is the one that is to be replaced, and returns false if
	// it is not.
	Config func() *Configuration
	Put    func(text []byte, write bool, still func(*Configuration) bool) (bool, Reload)
	// Endpoint takes an endpoint out, or puts it back. An empty upstream means the one
	// that has such an endpoint. It returns what was done, in words.
	Endpoint func(upstream, endpoint string, what Operation) (string, error)
}

// Operation is what people do with an endpoint. It is the last part of its path, after
// POST /endpoints/.
type Operation string

// The operations.
const (
	DrainEndpoint    Operation = "drain"       // no new requests
	MaintainEndpoint Operation = "maintenance" // no requests and no checks
	ResumeEndpoint   Operation = "resume"      // as before
)

// Reload is what came of reading a configuration again: what POST /reload answers.
type Reload struct {
	Config string `json:"config,omitempty"` // the file; "" if there is none
	// Done: the configuration is in force. If not, nothing has changed.
	Done bool `json:"done"`
	// Changes say what differs from before, one in a line.
	Changes []string `json:"changes"`
	// Problems are what gatewhy check would say, and Text the same in words.
	Problems []conf.ProblemJSON `json:"problems"`
	Text     string             `json:"text,omitempty"`
	// Error is why a configuration without errors is not in force all the same, and
	// Hint what to do.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Note is what to know of one that was put.
	Note string `json:"note,omitempty"`
}

func (c *Control) handle(on func(pattern string, h http.HandlerFunc)) {
	c.configuration(on)
	if c.Reload != nil {
		on("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
			r := c.Reload()
			reloaded(w, &r)
		})
	}
	if c.Endpoint != nil {
		for _, what := range []Operation{DrainEndpoint, MaintainEndpoint, ResumeEndpoint} {
			on("POST /endpoints/"+string(what), func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				what, err := c.Endpoint(q.Get("upstream"), q.Get("endpoint"), what)
				if err != nil {
					answer(w, http.StatusConflict, problem{err.Error()})
					return
				}
				answer(w, http.StatusOK, Done{what})
			})
		}
	}
	if c.Upgrade != nil {
		on("POST /upgrade", func(w http.ResponseWriter, _ *http.Request) {
			// The new program has a time limit of its own, which may be longer than that of
			// other answers.
			http.NewResponseController(w).SetWriteDeadline(time.Time{})
			pid, err := c.Upgrade()
			if err != nil {
				answer(w, http.StatusConflict, problem{err.Error()})
				return
			}
			answer(w, http.StatusOK, Upgraded{pid})
		})
	}
	if c.Stop != nil {
		for path, atOnce := range map[string]bool{"/drain": false, "/stop": true} {
			on("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
				c.Stop(atOnce)
				answer(w, http.StatusAccepted, struct{}{})
			})
		}
	}
}

// PostReload tells the gateway behind a socket to read its configuration again,
// and waits until it has.
func PostReload(ctx context.Context, socket string) (Reload, error) {
	var r Reload
	status, body, err := ask(ctx, http.MethodPost, socket, "/reload")
	if err != nil {
		return r, err
	}
	if status == http.StatusNotFound {
		return r, fmt.Errorf("%s: an older gatewhy, which cannot reload", socket)
	}
	return r, json.Unmarshal(body, &r)
}

// Upgraded is what POST /upgrade answers.
type Upgraded struct {
	PID int `json:"pid"` // of the process that serves now
}

// PostUpgrade tells the gateway behind a socket to hand over to a new process of its
// program, and waits until that serves.
func PostUpgrade(ctx context.Context, socket string) (pid int, err error) {
	status, body, err := ask(ctx, http.MethodPost, socket, "/upgrade")
	if err != nil {
		return 0, err
	}
	var u struct {
		Upgraded
		problem
	}
	if err := json.Unmarshal(body, &u); err != nil || status == http.StatusNotFound {
		return 0, fmt.Errorf("%s: an older gatewhy, which cannot do this", socket)
	}
	if status != http.StatusOK {
		return 0, errors.New(u.Error)
	}
	return u.PID, nil
}

// Done is what was done, in words.
type Done struct {
	Done string `json:"done"`
}

// PostEndpoint takes an endpoint of the gateway behind a socket out, or puts it back, and
// returns what was done, in words.
func PostEndpoint(ctx context.Context, socket, upstream, endpoint string, what Operation) (string, error) {
	path := "/endpoints/" + string(what) + "?"
	status, body, err := ask(ctx, http.MethodPost, socket, path+url.Values{"upstream": {upstream}, "endpoint": {endpoint}}.Encode())
	if err != nil {
		return "", err
	}
	var d struct {
		Done
		problem
	}
	if err := json.Unmarshal(body, &d); err != nil || status == http.StatusNotFound {
		return "", fmt.Errorf("%s: an older gatewhy, which cannot do this", socket)
	}
	if status != http.StatusOK {
		return "", errors.New(d.Error)
	}
	return d.Done.Done, nil
}

// PostStop tells the gateway behind a socket to end.
func PostStop(ctx context.Context, socket string, atOnce bool) error {
	path := "/drain"
	if atOnce {
		path = "/stop"
	}
	status, _, err := ask(ctx, http.MethodPost, socket, path)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("%s answered %d", socket, status)
	}
	return err
}

// Running are the states of the gateways behind the sockets, by socket. Those of
// processes that are gone do not count.
func Running(ctx context.Context, sockets []string) (map[string]State, error) {
	found := map[string]State{}
	var failed []string
	for _, socket := range sockets {
		s, err := ReadState(ctx, socket)
		switch {
		case err == nil:
			found[socket] = s
		case !gone(err):
			failed = append(failed, fmt.Sprintf("%s: %v", socket, err))
		}
	}
	if len(found) == 0 && len(failed) > 0 {
		slices.Sort(failed)
		return nil, fmt.Errorf("no gateway can be asked: %s", strings.Join(failed, "; "))
	}
	return found, nil
}

// PID is the process that a socket belongs to by its name, 0 if it has none.
func PID(socket string) int {
	n, _ := pid(filepath.Base(socket))
	return n
}

// Gone reports whether nobody listens on the socket any more.
func Gone(ctx context.Context, socket string) bool {
	_, err := ReadState(ctx, socket)
	return err != nil && gone(err)
}
