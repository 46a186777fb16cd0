// Package config is what gatewhy.yaml can say: the options as structs of plain
// data, and the checks that look at several of them together.
//
// [Load] reads and checks a configuration and starts nothing: a gateway is built
// from the [Gateway] it returns. Package conf is the language underneath. Start
// with options.go; its comments are the reference of all keys.
package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// Source is where a configuration comes from.
type Source struct {
	// Path is its file.
	Path string
	// Files are what it is read from; nil means this machine's.
	Files conf.Files
	// Env looks up variables; nil means an empty environment.
	Env func(string) (string, bool)
	// Set tells what flags and variables set, by the names of package settings; nil
	// for nothing.
	Set func(name string) (text string, from conf.Origin, ok bool)
}

// Loaded is a configuration with where its values come from.
type Loaded struct {
	// Gateway are the options, complete only if the report has no error.
	Gateway *Gateway
	Report  *conf.Report
	Places  conf.Places
	// Root is the tree of all files together; nil if there is none.
	Root *conf.Node
}

// Load reads a configuration and checks it. The report is in order.
func Load(s Source) *Loaded {
	if s.Files == nil {
		s.Files = conf.Disk{}
	}
	l := &Loaded{Gateway: new(Gateway), Report: new(conf.Report), Places: conf.Places{}}
	l.Root = conf.Load(s.Path, s.Files, l.Report)
	if l.Root != nil {
		l.decode(s)
	}
	l.Report.Sort()
	return l
}

// Begin makes warnings of problems that a start can live with: files of certificates that
// are not there. The gateway begins without them and looks for them again.
func (l *Loaded) Begin() {
	for i := range l.Report.Problems {
		if p := &l.Report.Problems[i]; p.Later && p.Level == conf.Error {
			p.Level = conf.Warning
		}
	}
}

func (l *Loaded) decode(s Source) {
	d := &conf.Decoder{Report: l.Report, Places: l.Places, Set: s.Set, Env: s.Env, Read: s.Files.Read}
	d.Decode(l.Root, l.Gateway)
	l.Gateway.Include = nil // what they hold is there
	if d.Full() {
		return
	}
	l.certificates(s)
	c := &checker{Loaded: l, files: s.Files, decoder: d}
	c.check()
}

// certificates takes those that flags name, which come in two lists.
func (l *Loaded) certificates(s Source) {
	if s.Set == nil {
		return
	}
	text, from, ok := s.Set("tls-cert")
	if !ok {
		return
	}
	certs := strings.Split(text, ",")
	var keys []string
	if text, _, ok := s.Set("tls-key"); ok {
		keys = strings.Split(text, ",")
		if len(keys) != len(certs) {
			l.Report.Add(conf.Problem{Name: "bad_certificate", Message: fmt.Sprintf("%d certificates and %d keys", len(certs), len(keys)), Where: from.String(),
				Help: "each certificate has one key, in the same order, or its file holds the key itself"})
			return
		}
	}
	g, at := l.Gateway, conf.Path("").Key("tls").Key("certificates")
	g.TLS.Certificates = nil
	l.Places[at] = conf.Place{From: from}
	for i, cert := range certs {
		c := Certificate{Cert: cert}
		l.Places[at.Index(i).Key("cert")] = conf.Place{From: from}
		if keys != nil {
			c.Key = keys[i]
			l.Places[at.Index(i).Key("key")] = conf.Place{From: from}
		}
		g.TLS.Certificates = append(g.TLS.Certificates, c)
	}
}

// FromFlags makes the configuration that a command line describes: one site for
// every host, whose requests all go to one upstream of that name. at are the
// places to listen on and to the targets, as somebody wrote them.
func FromFlags(s Source, at, to []string, name string) *Loaded {
	flag := conf.Origin{Kind: conf.Flag, Name: "arguments"}
	word := func(s string) *conf.Node { return &conf.Node{Kind: conf.Scalar, Text: s, From: flag} }
	list := func(words []string) *conf.Node {
		n := &conf.Node{Kind: conf.List, From: flag}
		for _, w := range words {
			n.Items = append(n.Items, word(w))
		}
		return n
	}
	tree := func(pairs ...any) *conf.Node {
		n := &conf.Node{Kind: conf.Map, From: flag}
		for i := 0; i < len(pairs); i += 2 {
			n.Entries = append(n.Entries, conf.Entry{Key: word(pairs[i].(string)), Value: pairs[i+1].(*conf.Node)})
		}
		return n
	}
	var http, https []string
	for _, a := range at {
		if rest, ok := strings.CutPrefix(a, "https://"); ok {
			https = append(https, withPort(rest, "443"))
		} else if rest, ok := strings.CutPrefix(a, "http://"); ok {
			http = append(http, withPort(rest, "80"))
		} else {
			http = append(http, a)
		}
	}
	var listen []any
	if len(http) > 0 {
		listen = append(listen, "http", list(http))
	}
	if len(https) > 0 {
		listen = append(listen, "https", list(https))
	}
	l := &Loaded{Gateway: new(Gateway), Report: new(conf.Report), Places: conf.Places{}, Root: tree(
		"listen", tree(listen...),
		"upstreams", tree(name, tree("to", list(to))),
		"sites", tree("any", tree("routes", tree("proxy", word(name)))),
	)}
	if s.Files == nil {
		s.Files = conf.Disk{}
	}
	l.decode(s)
	l.Report.Sort()
	return l
}

// withPort is an address with a port if it has none.
func withPort(s, port string) string {
	s = strings.TrimSuffix(s, "/")
	if strings.HasPrefix(s, "unix:") || strings.LastIndexByte(s, ':') > strings.LastIndexByte(s, ']') {
		return s
	}
	return s + ":" + port
}

// Tree is the configuration as a tree that can be written: what somebody wrote,
// or with all everything that holds.
func (l *Loaded) Tree(all bool) *conf.Node { return conf.Encode(l.Gateway, l.Places, all) }

// Each calls f for each upstream that requests can go to, once, by its name.
func (g *Gateway) Each(f func(name string, u *Upstream)) {
	seen := map[*Upstream]bool{}
	visit := func(name string, u *Upstream) {
		if u != nil && !seen[u] {
			seen[u] = true
			f(name, u)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.Upstreams)) {
		visit(name, g.Upstreams[name])
	}
	for _, name := range slices.Sorted(maps.Keys(g.Sites)) {
		for i := range g.Sites[name].Routes {
			p := &g.Sites[name].Routes[i].Proxy
			visit(p.Name, p.To)
		}
	}
}

// Listeners are the addresses in the order of the options, those for plain HTTP
// first.
func (g *Gateway) Listeners() (list []Address) { return slices.Concat(g.Listen.HTTP, g.Listen.HTTPS) }

// Differences says in words what differs between two configurations, one in a
// line. None are left if both mean the same.
func Differences(a, b *Loaded) (lines []string) {
	// Without places, so that a shorthand is no difference.
	changes := conf.Diff(conf.Encode(a.Gateway, nil, true), conf.Encode(b.Gateway, nil, true))
	slices.SortStableFunc(changes, func(x, y conf.Change) int { return cmp.Compare(rank(x.Path), rank(y.Path)) })
	for _, c := range changes {
		subject, key := words(c.Path)
		switch {
		case key == "" && c.Old == nil:
			lines = append(lines, fmt.Sprintf("%s: new: %s", subject, short(c.New)))
		case key == "" && c.New == nil:
			lines = append(lines, fmt.Sprintf("%s: gone: %s", subject, short(c.Old)))
		case c.Old == nil:
			lines = append(lines, fmt.Sprintf("%s: %s %s, was unset", subject, key, short(c.New)))
		case c.New == nil:
			lines = append(lines, fmt.Sprintf("%s: %s unset, was %s", subject, key, short(c.Old)))
		case key == "":
			lines = append(lines, fmt.Sprintf("%s: %s → %s", subject, short(c.Old), short(c.New)))
		default:
			lines = append(lines, fmt.Sprintf("%s: %s %s → %s", subject, key, short(c.Old), short(c.New)))
		}
	}
	return lines
}

// rank puts sites and upstreams behind what is about the whole.
func rank(p conf.Path) int { return slices.Index([]string{"upstreams", "sites"}, p.Parts()[0]) }

// words says what a path is about: "upstream api", "retry attempts".
func words(p conf.Path) (subject, key string) {
	parts := p.Parts()
	switch {
	case parts[0] == "upstreams" && len(parts) > 1:
		subject, parts = "upstream "+parts[1], parts[2:]
	case parts[0] == "sites" && len(parts) > 1:
		subject, parts = "site "+parts[1], parts[2:]
		if len(parts) > 0 && parts[0] == "routes" {
			parts = parts[1:]
		}
		if len(parts) > 0 && isNumber(parts[0]) {
			subject, parts = fmt.Sprintf("route %s of %s", next(parts[0]), p.Parts()[1]), parts[1:]
		}
	default:
		subject, parts = parts[0], parts[1:]
	}
	for i, w := range parts {
		if isNumber(w) {
			parts[i] = "number " + next(w)
		}
	}
	return subject, strings.Join(parts, " ")
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// next is an index from 0 as people count.
func next(s string) string {
	n := 0
	fmt.Sscan(s, &n)
	return fmt.Sprint(n + 1)
}

// shortest is how much of a value a line about a change shows.
const shortest = 120

func short(n *conf.Node) string {
	s := n.Words()
	if len(s) > shortest {
		s = strings.ToValidUTF8(s[:shortest], "") + "…"
	}
	return s
}

// Flags are the settings that win over keys, each with the paths of those keys; *
// stands for the name of any upstream.
func Flags() map[string][]string {
	all := map[string][]string{}
	var walk func(t reflect.Type, at string)
	walk = func(t reflect.Type, at string) {
		for _, f := range conf.Fields(t) {
			here := at + "/" + f.Key
			for _, name := range f.Flags {
				name = strings.TrimPrefix(name, "!")
				all[name] = append(all[name], here)
			}
			switch {
			case f.Type == reflect.TypeFor[map[string]*Upstream]():
				walk(reflect.TypeFor[Upstream](), here+"/*")
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, here)
			}
		}
	}
	walk(reflect.TypeFor[Gateway](), "")
	return all
}
