package conf

import "strings"

// Kind is what a node is.
type Kind uint8

// The kinds.
const (
	Null   Kind = iota // nothing, or null
	Scalar             // a word, a number, a text
	List
	Map
	Alias // *name: the node of an anchor, in another place
)

var kindWords = [...]string{Null: "nothing", Scalar: "a value", List: "a list", Map: "a map of keys", Alias: "an alias"}

func (k Kind) String() string { return kindWords[k] }

// Node is one value of a configuration, with its place.
type Node struct {
	Kind Kind
	// Span is where it stands; no place for values that no file holds.
	Span
	// Text is a scalar's value, an alias's name.
	Text string
	// Plain: a scalar without quotes, which may be a number or a boolean.
	Plain bool
	// Entries are a map's, Items a list's, in the order of the file.
	Entries []Entry
	Items   []*Node
	// Target is what an alias stands for.
	Target *Node
	// From is where the value came from.
	From Origin

	props  string // anchor and tag, as they are written
	flow   bool   // in braces or brackets
	block  bool   // a scalar of several lines behind | or >
	column int    // of a block map or list, from 0, in characters
	broken bool   // a problem was told already: nobody judges it again
}

// Entry is one key of a map and its value.
type Entry struct{ Key, Value *Node }

// Value is the node itself, or what it is an alias of.
func (n *Node) Value() *Node {
	for n != nil && n.Kind == Alias {
		n = n.Target
	}
	return n
}

// Get returns the value of a key of a map, nil if there is none.
func (n *Node) Get(key string) *Node {
	n = n.Value()
	if n == nil || n.Kind != Map {
		return nil
	}
	for _, e := range n.Entries {
		if e.Key.Text == key {
			return e.Value
		}
	}
	return nil
}

// same reports whether two nodes mean the same, wherever they stand.
func same(a, b *Node) bool {
	a, b = a.Value(), b.Value()
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind == Null && b.Kind == Null {
		return true
	}
	if a.Kind != b.Kind || a.Text != b.Text || len(a.Entries) != len(b.Entries) || len(a.Items) != len(b.Items) {
		return false
	}
	for i := range a.Entries {
		if a.Entries[i].Key.Text != b.Entries[i].Key.Text || !same(a.Entries[i].Value, b.Entries[i].Value) {
			return false
		}
	}
	for i := range a.Items {
		if !same(a.Items[i], b.Items[i]) {
			return false
		}
	}
	return true
}

// OriginKind is a kind of origin, the weakest first: each wins over those before.
type OriginKind uint8

// The kinds of origins.
const (
	Default OriginKind = iota
	File
	Env
	Flag
)

// Origin says where a value came from. The zero value is a default.
type Origin struct {
	Kind OriginKind
	// Name is the flag's or the variable's, or FILE:LINE.
	Name string
}

func (o Origin) String() string {
	switch o.Kind {
	case File:
		return o.Name
	case Env:
		return "env " + o.Name
	case Flag:
		return "flag " + o.Name
	}
	return "default"
}

// Path names a value within a configuration: the keys and indices that lead to
// it, as a JSON pointer (RFC 6901).
type Path string

// Key is the path of a key's value below p.
func (p Path) Key(name string) Path {
	b := append([]byte(p), '/')
	for i := range len(name) {
		switch name[i] {
		case '~':
			b = append(b, "~0"...)
		case '/':
			b = append(b, "~1"...)
		default:
			b = append(b, name[i])
		}
	}
	return Path(b)
}

// Index is the path of an item of the list at p, from 0.
func (p Path) Index(i int) Path {
	const digits = "0123456789"
	if i < 10 {
		return p + "/" + Path(digits[i:i+1])
	}
	return p.Index(i/10) + Path(digits[i%10:i%10+1])
}

// parent is the path of what holds a value; "" of the top level.
func (p Path) parent() Path {
	if i := strings.LastIndexByte(string(p), '/'); i > 0 {
		return p[:i]
	}
	return ""
}

// Parts are the keys and indices of a path.
func (p Path) Parts() (parts []string) {
	for rest := string(p); rest != ""; {
		rest = rest[1:]
		end := 0
		var b []byte
		for ; end < len(rest) && rest[end] != '/'; end++ {
			if rest[end] == '~' && end+1 < len(rest) {
				end++
				b = append(b, map[byte]byte{'0': '~', '1': '/'}[rest[end]])
				continue
			}
			b = append(b, rest[end])
		}
		parts = append(parts, string(b))
		rest = rest[end:]
	}
	return parts
}
