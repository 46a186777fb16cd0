// Package lab is an origin that misbehaves on demand: for every fault of the
// catalogue it has a [Recipe] that produces it, and says what a gateway must
// make of it.
//
// It is what httptest is to handlers: a test starts a recipe, gives its
// [Origin.Target] to a gateway as upstream, plays the client that the recipe
// describes, and compares. The same recipes stand behind `gatewhy lab`, `demo`
// and `prove`.
//
// Recipes are data where bytes and an end of connection are enough: corpus.go
// is the golden corpus of broken answers, the files named like the fault
// families have the rest. Those of HTTP/2 (http2.go, grpc.go) are scripts over
// x/net's Framer, which writes whatever it is told (h2.go). The lab judges nothing
// itself: that is the gateway's business. All of its sockets are on loopback.
package lab

import (
	"context"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/gatewhy/gatewhy/fault"
)

// Recipe is one way to misbehave, and what a gateway must make of it.
//
// With Status 200 and a Want, the fault is met and mended by the gateway alone:
// the trail names it and the client does not suffer.
type Recipe struct {
	// Name is unique: the fault's id; "ID/variant"; or "corpus/CASE".
	Name string
	// Why says in one line what this upstream (or client) does.
	Why string

	// Want is the fault that the gateway must name, "" if it meets none.
	Want fault.ID
	// Withheld is why no further attempt was made, "" if nothing of the retry
	// itself was at fault (trail.Trail.Withheld).
	Withheld fault.ID
	// Notes are notices that must be among the receipts of the trail.
	Notes []fault.ID
	// Offset of the offending byte: in a head from the start of that head, in a
	// body from the start of its framing; in a request likewise. It belongs to
	// Want, else to the first of Notes. -1 if there is none, or if the place is
	// not the point.
	Offset int64
	// Status is what the client gets with this upstream alone. 0: it gets none,
	// or (with Cut) one that has begun with the upstream's status.
	Status int
	// Cut: the answer may have begun before the fault could be known; then the
	// client must be able to see that it is incomplete. With a Status, that
	// status instead is right as well, if the gateway had held the answer back.
	Cut bool
	// Body is what the client must get on success.
	Body string
	// Rescue: with a good second endpoint the same request must come back good.
	// false promises nothing.
	Rescue bool

	// Request is the raw request of the client, "" for a plain GET. %HOST%
	// becomes the authority, %UPLOAD% the number in Upload.
	Request string
	// Upload is how many bytes of body the client sends behind Request.
	Upload int64
	// Frames, if set, is what a client of HTTP/2 sends in place of Request, behind its
	// preface and SETTINGS; its request is stream 1. Goaway is the name of the error
	// with which the connection must end, "" if it must not.
	Frames, Goaway string
	// GRPC is the grpc-status that the client gets, with status 200 whatever Status
	// says; "" if the request is no call of gRPC, or its answer none.
	GRPC string
	// Pieces, if set, are sent instead of Request, with a pause between.
	Pieces []string
	// Warm: the fault needs a pooled connection. First a plain GET is answered
	// well on the same client connection, then [Origin.Arm], then Request.
	Warm bool
	// OnTLS: the gateway's listener speaks TLS. The client does not, unless SNI is the
	// name that it asks for in its handshake.
	OnTLS bool
	SNI   string
	// Sites, if set, are those of the gateway. All of their routes lead to this upstream.
	Sites []Site
	// Beside is how many other plain requests, for BesidePath, are under way on the
	// pooled connection when the fault is met. Spared: they must be answered well all
	// the same.
	Beside int
	Spared bool
	// Busy is how many other plain requests, for BesidePath, are under way on connections
	// of their own: those that come to the origin get no answer, and what the gateway does
	// with the others is not judged.
	Busy int
	// Tripped is how many plain requests, for BesidePath, come before and fail.
	Tripped int
	// Drained: an operator has taken the recipe's endpoints out.
	Drained bool
	// Client is what the client does when it has sent its request.
	Client ClientEnd
	// Hold is how many silent client connections are held open beside it.
	Hold int
	// Endpoints of this same recipe that the upstream must have; 0 means 1.
	Endpoints int
	// Set holds the gateway's options that the recipe needs, by name of the
	// proxy command's flag without dashes.
	Set map[string]string
	// Where is where the fault lives.
	Where Where
	// Inject is what the engine must pretend, for what loopback cannot produce.
	Inject Injection

	// Answer is what the upstream writes once it has read the request, and End
	// what it does then. Unused where code does more.
	Answer string
	End    End

	serve func(*Conn)                          // one upstream connection; nil means Answer and End
	name  func(*dns.Msg, *nameServer)          // fills in the answer of a name server
	start func(context.Context, *Origin) error // how it listens; nil means TCP
	plain bool                                 // it is only Answer and End
	// placed: Offset is set, and stands in no mark.
	placed bool
}

// Fault is the fault that the recipe is about: what it wants, withholds, or
// notes first; "" for a good answer.
func (r *Recipe) Fault() fault.ID {
	switch {
	case r.Withheld != "":
		return r.Withheld
	case r.Want != "":
		return r.Want
	case len(r.Notes) > 0:
		return r.Notes[0]
	}
	return ""
}

// Site is a site of the gateway: its host, and the paths of its routes.
type Site struct {
	Host  string
	Paths []string
}

// ClientEnd is what a client does when it has sent its request.
type ClientEnd uint8

// What clients do. "Until it is there" waits for [Origin.Hits].
const (
	Read       ClientEnd = iota // reads the answer
	CloseWrite                  // sends FIN, then reads the answer
	Close                       // closes as soon as the request is at the origin
	Reset                       // resets as soon as the request is at the origin
	Stall                       // reads nothing until the origin's connections have ended
)

func (c ClientEnd) String() string {
	return [...]string{"read", "close-write", "close", "reset", "stall"}[c]
}

// Where is where a fault lives.
type Where uint8

// The places.
const (
	HTTP       Where = iota // an HTTP/1.1 origin on TCP
	HTTP2                   // an HTTP/2 origin on TCP, with prior knowledge
	TLS                     // an HTTPS origin; Origin.CA is to be trusted
	DNS                     // a name server; Origin.Resolver is to be asked
	Unix                    // a unix socket
	NoListener              // a port of ours where nobody listens
	Backlog                 // a listener whose queue is full
	Local                   // the gateway itself: its limits, its configuration
	Injected                // loopback cannot produce it: see Recipe.Inject
)

func (w Where) String() string {
	return [...]string{"http", "h2c", "tls", "dns", "unix", "no-listener", "backlog", "local", "injected"}[w]
}

// End is what an upstream does when it has written its answer.
type End uint8

// The ends.
const (
	FIN  End = iota // ends its side, and the connection once the peer has
	RST             // resets, once its bytes are at the peer
	Hang            // keeps the connection open and silent until the peer goes
	Keep            // waits for the next request and answers it likewise
)

func (e End) String() string { return [...]string{"FIN", "RST", "stall", "keep-alive"}[e] }

// BesidePath is the target of the requests that are under way beside a recipe's own.
const BesidePath = "/beside"

// Self stands for the gateway's own listening address in Origin.Target.
const Self = "%GATEWAY%"

// Recipes returns all recipes but the corpus: one for each fault in the order
// of the catalogue, each followed by its variants. The recipes are shared and
// must not be changed.
func Recipes() []*Recipe { return library().recipes }

// Corpus returns the golden corpus of raw answers.
func Corpus() []*Recipe { return library().corpus }

// Demo returns twelve recipes that between them show what a gateway can say.
func Demo() []*Recipe {
	names := []string{"header_name_bad_char", "connect_refused", "head_eof_empty", "body_eof_short/late",
		"header_obs_fold", "head_timeout_first_byte", "foreign_banner", "cl_conflict", "tls_cert_expired",
		"reuse_race_fin/get-read", "dns_nxdomain", "tls_on_plain_port"}
	demo := make([]*Recipe, len(names))
	for i, n := range names {
		demo[i] = Find(n)
	}
	return demo
}

// Find returns the recipe of that name, nil if there is none.
func Find(name string) *Recipe { return library().byName[name] }

// Nearest returns the name that is most like the given one, for hints.
func Nearest(name string) string {
	best, least := "", 1<<30
	for _, r := range slices.Concat(Recipes(), Corpus()) {
		if d := distance(name, r.Name); d < least {
			best, least = r.Name, d
		}
	}
	return best
}

// distance is the number of inserted, dropped and changed bytes between a and b
// (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 {
		a = a[:64] // comes from a URL
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

type shelf struct {
	recipes, corpus []*Recipe
	byName          map[string]*Recipe
}

// library is made when first asked for: some answers are megabytes, and most
// commands of the program need none.
var library = sync.OnceValue(func() *shelf {
	s := &shelf{corpus: corpus(), byName: map[string]*Recipe{}}
	for _, family := range []func() []*Recipe{clientRecipes, routingRecipes, localRecipes, resolvingRecipes, connectingRecipes,
		securingRecipes, sendingRecipes, headingRecipes, framingRecipes, http2Recipes,
		switchingRecipes, meaningRecipes, grpcRecipes} {
		s.recipes = append(s.recipes, family()...)
	}
	for _, r := range slices.Concat(s.recipes, s.corpus) {
		r.finish()
		s.byName[r.Name] = r
	}
	return s
})
