package conf

import (
	"fmt"
	"strings"
)

// expand puts the environment's values into a text, where its field is typed so.
// It returns nil if that cannot be done.
func (d *Decoder) expand(n *Node, f *field, at Path) *Node {
	text := n.Text
	if !strings.Contains(text, "${") || n.From.Kind > File || f.names {
		return n
	}
	var out strings.Builder
	rest := text
	var from []string
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:i])
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			d.bad(n, &Bad{Name: "bad_placeholder", Message: "the placeholder is never closed", Words: "`${` without `}`", Help: "write ${env.NAME}"})
			return nil
		}
		word := rest[i+2 : i+end]
		rest = rest[i+end+1:]
		name, env := strings.CutPrefix(word, "env.")
		switch {
		case !env || !isKey(name) || strings.Contains(name, "-"):
			b := &Bad{Name: "bad_placeholder", Message: fmt.Sprintf("`${%s}` stands for nothing", word), Note: "the one placeholder is ${env.NAME}, a variable of the environment"}
			if isKey(word) && strings.ToUpper(word) == word {
				b.With, b.Unsure = strings.Replace(text, "${"+word+"}", "${env."+word+"}", 1), true
			}
			d.bad(n, b)
			return nil
		case !f.env:
			d.bad(n, &Bad{Name: "env_not_here", Message: d.called(at) + " takes no variable of the environment", Words: "only addresses, names and paths do"})
			return nil
		}
		value, where, problem := d.variable(name)
		if problem != "" {
			d.bad(n, &Bad{Name: "env_not_set", Message: problem, Words: "not set", Help: fmt.Sprintf("set %s, or %[1]s_FILE to the path of a file that holds the value", name)})
			return nil
		}
		from = append(from, where)
		out.WriteString(value)
	}
	expanded := *n // the node may stand in other places too
	expanded.Text, expanded.From = out.String(), Origin{Env, strings.Join(from, ", ")}
	place := d.Places[at]
	place.From = expanded.From
	d.Places[at] = place
	return &expanded
}

// variable is the value of a variable: its own, or what the file holds that the
// variable with _FILE behind its name points to.
func (d *Decoder) variable(name string) (value, where, problem string) {
	get := func(name string) (string, bool) {
		if d.Env == nil {
			return "", false
		}
		return d.Env(name)
	}
	if v, ok := get(name); ok {
		return v, name, ""
	}
	path, ok := get(name + "_FILE")
	if !ok || d.Read == nil {
		return "", "", fmt.Sprintf("the variable %s is not set", name)
	}
	b, err := d.Read(path)
	switch {
	case err != nil:
		return "", "", fmt.Sprintf("%s_FILE: %v", name, err)
	case len(b) > maxSecret:
		return "", "", fmt.Sprintf("%s_FILE: the file has more than %s", name, FormatSize(maxSecret))
	}
	return strings.TrimRight(string(b), "\r\n"), name + "_FILE", ""
}
