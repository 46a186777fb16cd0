package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gatewhy/gatewhy/internal/incident"
)

// Options says what a server serves.
type Options struct {
	// Dir is the run directory; "" means the first of Dirs that can be used.
	Dir       string
	Incidents *incident.Store
	State     func() State // called for each GET /state, from any goroutine
	Control   Control
}

// recent is how many incidents are listed unless the client says otherwise, and
// mostRecent how many at most.
const (
	recent     = 50
	mostRecent = incident.DefaultSize
)

// The limits of a connection. Whoever opens the socket is the user itself, so
// they only keep a hanging tool from holding a descriptor for ever.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 60 * time.Second
	closeTimeout = time.Second
)

// Server serves the admin socket of one process.
type Server struct {
	path string
	http http.Server
	done sync.WaitGroup
}

// Start makes the socket and serves it. Sockets of processes that are gone are
// removed from the directory on the way.
func Start(o Options) (*Server, error) {
	dir, err := prepare(o.Dir)
	if err != nil {
		return nil, err
	}
	sweep(dir)
	path := filepath.Join(dir, fmt.Sprintf("%s%d%s", prefix, os.Getpid(), suffix))
	ln, err := listen(path)
	if err != nil {
		return nil, err
	}
	s := &Server{path: path}
	s.http = http.Server{Handler: handler(&o), ReadTimeout: readTimeout, WriteTimeout: writeTimeout}
	s.done.Go(func() { s.http.Serve(ln) }) // ends at Close
	return s, nil
}

// listen opens a socket that nobody else can connect to, not even between bind
// and chmod: it gets its name when its mode is right.
func listen(path string) (net.Listener, error) {
	hidden := path + ".new"
	os.Remove(hidden)
	ln, err := net.Listen("unix", hidden)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, path)); err != nil {
		ln.Close()
		os.Remove(hidden)
		return nil, err
	}
	return ln, nil
}

// Path is the path of the socket.
func (s *Server) Path() string { return s.path }

// Close ends the server and removes the socket.
func (s *Server) Close() {
	os.Remove(s.path)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	s.done.Wait()
}

func handler(o *Options) http.Handler {
	mux := http.NewServeMux()
	routes(o, func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, h) })
	return mux
}

// routes are what a server answers: on is called for each.
func routes(o *Options, on func(pattern string, h http.HandlerFunc)) {
	on("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(openAPI)
	})
	on("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, o.State())
	})
	on("GET /incidents", func(w http.ResponseWriter, r *http.Request) {
		n := recent
		if s := r.URL.Query().Get("n"); s != "" {
			var err error
			if n, err = strconv.Atoi(s); err != nil || n < 1 || n > mostRecent {
				answer(w, http.StatusBadRequest, problem{fmt.Sprintf("n must be a number from 1 to %d", mostRecent)})
				return
			}
		}
		list := []Summary{}
		for _, r := range o.Incidents.Recent(n) {
			list = append(list, summarize(r))
		}
		answer(w, http.StatusOK, map[string]any{"incidents": list, "total": o.Incidents.Total()})
	})
	on("GET /incidents/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, ok := incident.Parse(r.PathValue("id"))
		if !ok {
			answer(w, http.StatusBadRequest, problem{"an incident id has 8 letters and digits"})
			return
		}
		record := o.Incidents.Get(id)
		if record == nil {
			answer(w, http.StatusNotFound, problem{"this gateway keeps no incident " + string(id[:])})
			return
		}
		answer(w, http.StatusOK, record)
	})
	o.Control.handle(on)
}

type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		b, _ = json.Marshal(problem{err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
