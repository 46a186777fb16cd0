package lab

import (
	"context"
	"fmt"
	"html/template"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Serve is `gatewhy lab`: an HTTP/1.1 origin on ln that misbehaves as the path
// asks. GET / lists all recipes, as HTML or, for clients that do not ask for
// HTML, as text. /fault/NAME behaves as that recipe on the very connection.
// /good answers well. Recipes that need more than a connection of HTTP/1.1 (HTTP/2,
// TLS, name servers, ports that refuse) run on ports of their own, which the list
// tells.
//
// It ends when ctx does, with nil, and closes ln.
func Serve(ctx context.Context, ln net.Listener) error {
	s := &server{beside: map[string]*Origin{}}
	defer func() {
		for _, o := range s.beside {
			o.Close()
		}
	}()
	for _, r := range Recipes() {
		if !r.apart() {
			continue
		}
		o, err := r.Start(ctx)
		if err != nil {
			continue // the list says that it does not run here: no reason to miss the others
		}
		o.unarm()
		s.beside[r.Name] = o
	}
	o := newOrigin(ctx, good)
	o.unarm()
	o.serveAll(ln, s.serve)
	<-o.ctx.Done()
	o.Close()
	return nil
}

// apart reports whether the recipe needs a listener of its own.
func (r *Recipe) apart() bool {
	switch r.Where {
	case HTTP2, TLS, DNS, Unix, NoListener, Backlog:
		return true
	}
	return false
}

// here reports whether a connection is all that the recipe needs.
func (r *Recipe) here() bool { return r.Where == HTTP && !r.Inject.Any() }

type server struct {
	beside map[string]*Origin // by recipe
}

// serve answers the requests of one connection until one of them misbehaves.
func (s *server) serve(c *Conn) {
	defer c.FIN()
	for c.ReadHead() {
		path, _, _ := strings.Cut(c.Head.Target, "?")
		name, isFault := strings.CutPrefix(path, "/fault/")
		r := Find(name)
		switch {
		case isFault && r != nil && r.here():
			// A script that counts connections counts this as its first.
			c.again, c.N, c.only = true, 0, c.Head.Target
			if r.serve(c); !c.moved {
				return
			}
			// The recipe kept the connection, and the next request is not for it.
			c.only, c.moved = "", false
			continue
		case path == "/good":
			c.again = true
			if !c.Good() {
				return
			}
			continue
		}
		if _, _, ok := c.ReadBody(); !ok {
			return
		}
		status, kind, body := "200 OK", "text/plain; charset=utf-8", ""
		switch {
		case path == "/" && strings.Contains(c.Head.Get("Accept"), "text/html"):
			kind, body = "text/html; charset=utf-8", s.page()
		case path == "/":
			body = s.list()
		case isFault && r != nil:
			body = s.elsewhere(r)
		case isFault:
			status, body = "404 Not Found", fmt.Sprintf("The lab has no recipe %q. Did you mean %s?\n", name, Nearest(name))
		default:
			status, body = "404 Not Found", "The lab has /, /good and /fault/NAME.\n"
		}
		if !c.answer(status, kind, body) {
			return
		}
	}
}

// answer sends a whole answer and reports whether the connection goes on.
func (c *Conn) answer(status, kind, body string) bool {
	last := strings.EqualFold(c.Head.Get("Connection"), "close") || c.Head.Version == "HTTP/1.0"
	head := "HTTP/1.1 " + status + "\r\nContent-Type: " + kind + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	if last {
		head += "Connection: close\r\n"
	}
	if c.Head.Method == "HEAD" {
		body = ""
	}
	return c.Write(head+"\r\n"+body) && !last
}

// unarm lets scripts go on without Arm.
func (o *Origin) unarm() { o.unarmed = true }

// elsewhere says how to meet a recipe that no connection of the lab can play.
func (s *server) elsewhere(r *Recipe) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s.\n", r.Name, r.Why)
	switch o := s.beside[r.Name]; {
	case o != nil:
		fmt.Fprintf(&b, "It has an address of its own: %s\n", s.command(r))
	case r.apart():
		fmt.Fprintln(&b, "It does not run on this system.")
	case r.Where == Local:
		fmt.Fprintln(&b, "The upstream is blameless here: `gatewhy prove` plays the client or the gateway's limits.")
	default:
		fmt.Fprintln(&b, "No socket on loopback produces it: `gatewhy prove` injects it.")
	}
	return b.String()
}

// command is what to type to put a gateway in front of the recipe.
func (s *server) command(r *Recipe) string {
	o := s.beside[r.Name]
	words := []string{"gatewhy", "proxy", ":8080", o.Target}
	if o.Resolver != "" {
		words = append(words, "--resolver", o.Resolver)
	}
	if o.CA != "" {
		words = append(words, "--upstream-ca", o.CA)
	}
	return strings.Join(append(words, r.options()...), " ")
}

// options are the gateway's options as arguments.
func (r *Recipe) options() []string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(r.Set)) {
		words = append(words, "--"+name, r.Set[name])
	}
	return words
}

// entry is a recipe as the list shows it.
type entry struct{ Name, Path, Status, Why, How string }

func (s *server) entries() []entry {
	var all []entry
	for _, r := range slices.Concat(Recipes(), Corpus()) {
		e := entry{Name: r.Name, Path: "/fault/" + r.Name, Why: r.Why, Status: "cut"}
		switch {
		case r.Status != 0:
			e.Status = strconv.Itoa(r.Status)
		case !r.Cut:
			e.Status = "none"
		}
		switch {
		case r.here():
			e.How = strings.Join(r.options(), " ")
		case s.beside[r.Name] != nil:
			e.How = s.command(r)
		default:
			e.How = "gatewhy prove"
		}
		all = append(all, e)
	}
	return all
}

func (s *server) list() string {
	var b strings.Builder
	fmt.Fprintln(&b, "An origin that misbehaves on demand. Put a gateway in front of it and ask for a path.")
	fmt.Fprintln(&b)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "/good\t200\tanswers well")
	for _, e := range s.entries() {
		fmt.Fprintln(w, strings.TrimRight(e.Path+"\t"+e.Status+"\t"+e.Why+"\t"+e.How, "\t"))
	}
	w.Flush()
	return b.String()
}

func (s *server) page() string {
	var b strings.Builder
	if err := page.Execute(&b, s.entries()); err != nil {
		return err.Error()
	}
	return b.String()
}

var page = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gatewhy lab</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 1rem }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; overflow-wrap: anywhere }
</style>
<h1>Gatewhy lab</h1>
<p>An origin that misbehaves on demand. Put a gateway in front of it and ask for a path.
<table>
<thead><tr><th scope="col">Path<th scope="col">A client gets<th scope="col">What happens<th scope="col">Needs
<tbody>
<tr><td><a href="/good">/good</a><td>200<td>answers well<td>
{{range .}}<tr><td><a href="{{.Path}}">{{.Path}}</a><td>{{.Status}}<td>{{.Why}}<td>{{if .How}}<code>{{.How}}</code>{{end}}
{{end}}</table>
</html>
`))
