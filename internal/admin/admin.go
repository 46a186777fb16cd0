// Package admin lets people on this machine ask a running gateway what it knows:
// HTTP over a unix socket that only the gateway's own user can open.
//
//	GET /state          who runs here, and how its endpoints are
//	GET /incidents?n=N  the last incidents, the newest first
//	GET /incidents/ID   one incident with its evidence
//	GET /config         the configuration, or the part of it below; with an ETag
//	PUT /config         another one, with If-Match
//	GET /openapi.json   all this for programs
//	POST /reload        read the configuration again: what changed, or what is wrong
//	POST /drain         take no new connections, and end when requests have
//	POST /stop          end at once
//	POST /upgrade       hand the sockets to a new process of the program, and end as by drain
//
// All answers are JSON. The socket's file mode is the access control; where it is asked
// for, the same is served by TCP to who has a token, see Public. What it serves is decided by packages
// incident and upstream, what it does by [Control]. Start with server.go, then client.go; where
// sockets live is dir.go.
package admin

import (
	"time"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/incident"
	"github.com/gatewhy/gatewhy/internal/trail"
	"github.com/gatewhy/gatewhy/internal/upstream"
)

// State is what GET /state answers.
type State struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Node    string    `json:"node"` // the name in Proxy-Status
	Started time.Time `json:"started"`
	Listen  []string  `json:"listen"`
	// Lacks is what it began without and tries to have: places that others listen on,
	// certificates that cannot be read; each with the reason.
	Lacks []string `json:"lacks,omitempty"`

	Incidents uint64     `json:"incidents"` // since the start, also those no longer kept
	Endpoints []Endpoint `json:"endpoints"`
	// Stopping: it takes no new connections and ends when its requests have.
	Stopping bool `json:"stopping,omitempty"`
	// Config is the file of the configuration in force, and Loaded when that was read;
	// without a file there is neither.
	Config string     `json:"config,omitempty"`
	Loaded *time.Time `json:"loaded,omitempty"`
	// Handshakes of TLS listeners, nil if there is none.
	Handshakes *Handshakes `json:"handshakes,omitempty"`
	// Certificates of TLS listeners.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Authority is the internal one, nil if it has made no certificate.
	Authority *Authority `json:"authority,omitempty"`
}

// Authority is the root of the internal authority, or why it cannot be had.
type Authority struct {
	Certificate string `json:"certificate,omitempty"` // PEM
	Error       string `json:"error,omitempty"`
}

// Certificate is one of a TLS listener.
type Certificate struct {
	Name     string    `json:"name"` // the first that it is for
	NotAfter time.Time `json:"not_after"`
	Issuer   string    `json:"issuer,omitempty"`
}

// Handshakes counts the TLS handshakes of clients since the start.
type Handshakes struct {
	Full    uint64 `json:"full"`
	Resumed uint64 `json:"resumed"`
	Failed  uint64 `json:"failed"`
	Plain   uint64 `json:"plain"` // clients that spoke plain HTTP to a TLS listener
}

// Endpoint is the state of one endpoint.
type Endpoint struct {
	// Upstream is the name of the one that it belongs to.
	Upstream string `json:"upstream"`
	Name     string `json:"name"`
	// State is up, ejected, down or drained; Down is why checks say that it is down.
	State     string   `json:"state"`
	Down      string   `json:"down,omitempty"`
	Ejected   bool     `json:"ejected"`
	Why       fault.ID `json:"why,omitempty"` // the latest fault that speaks against it
	Failures  int      `json:"failures"`      // in a row
	Addresses []string `json:"addresses,omitempty"`
	// IdleLimitMS is how long it keeps an idle connection, as far as that was
	// learned; 0 if unknown.
	IdleLimitMS int64 `json:"idle_limit_ms,omitempty"`
	// Requests are under way of Limit that may be, where that is limited. Learned says how the
	// limit came about if it is a learned one.
	Requests int    `json:"requests,omitempty"`
	Limit    int    `json:"limit,omitempty"`
	Learned  string `json:"learned,omitempty"`
}

// Endpoints puts the state of the upstream of that name into words of this package.
func Endpoints(name string, list []upstream.EndpointState) []Endpoint {
	out := make([]Endpoint, 0, len(list))
	for _, s := range list {
		e := Endpoint{Upstream: name, Name: s.Name, State: string(s.State), Down: s.Down, Ejected: s.Ejected, Why: s.Why, Failures: s.Failures,
			IdleLimitMS: s.IdleLimit.Milliseconds(), Requests: s.Requests, Limit: s.Limit, Learned: s.Learned}
		for _, a := range s.Addresses {
			e.Addresses = append(e.Addresses, a.String())
		}
		out = append(out, e)
	}
	return out
}

// Summary is one line of GET /incidents.
type Summary struct {
	Incident string    `json:"incident"`
	Began    time.Time `json:"began"`
	Method   string    `json:"method,omitempty"`
	Host     string    `json:"host,omitempty"`
	Path     string    `json:"path,omitempty"`
	Status   int       `json:"status,omitempty"` // what the client got; 0 for nothing
	Fault    fault.ID  `json:"fault"`
	Rescued  bool      `json:"rescued"`
	Attempts int       `json:"attempts"`
}

func summarize(r *incident.Record) Summary {
	t := r.Trail
	s := Summary{Incident: string(t.Incident[:]), Began: time.Unix(0, t.Began).UTC(), Method: string(t.Method),
		Host: string(t.Authority), Path: string(t.Path), Status: t.Status, Fault: id(t), Rescued: t.Rescued, Attempts: t.N}
	return s
}

func id(t *trail.Trail) fault.ID {
	if t.Fault == nil {
		return ""
	}
	return t.Fault.ID
}
