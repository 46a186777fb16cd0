package explain

import (
	"fmt"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
)

// Doc is the documentation page of a fault, in Markdown: docs/faults/NAME.md.
func Doc(r *fault.Row) []byte {
	b := fmt.Appendf(nil, "# %s\n\n%s.\n\n", r.ID, sentence(r.Title))
	b = append(b, "| | |\n| --- | --- |\n"...)
	row := func(name, value string) {
		if value != "" {
			b = fmt.Appendf(b, "| %s | %s |\n", name, cell(value))
		}
	}
	kind := [...]string{fault.Failure: "failure", fault.Repair: "repaired, with a note in the log", fault.Notice: "a note in the log"}[r.Kind]
	row("kind", kind)
	if r.Status != 0 {
		row("status", fmt.Sprint(r.Status))
	}
	if r.Proxy != "" {
		row("Proxy-Status", "`error="+r.Proxy+"`")
	}
	row("phase", r.Phase.String())
	row("who has to act", whose(r))
	row("retry", r.Retry.String()+": "+retry(r))
	row("rule", r.Rule)
	row("nginx", r.Nginx)
	row("HAProxy", r.HAProxy)
	if lines, caretLine, caretColumn := draw(r.Example, r.Mark); len(lines) > 0 {
		b = append(b, "\n## An example\n\n"...)
		for i, l := range lines {
			b = append(b, strings.TrimRight("    "+l, " ")...)
			b = append(b, '\n')
			if i == caretLine {
				b = fmt.Appendf(b, "    %s^\n", strings.Repeat(" ", caretColumn))
			}
		}
	}
	b = fmt.Appendf(b, "\n## Why\n\n%s\n", prose(r.Requires))
	if r.Saw != "" {
		b = fmt.Appendf(b, "\nThe log and `gatewhy explain INCIDENT` say what was seen:\n\n    %s\n", r.Saw)
	}
	b = docList(b, "Causes", r.Causes)
	b = docList(b, "Fix it", r.Fix)
	if r.Bearing != "" {
		b = docList(b, "Live with it", []string{r.Bearing})
	}
	if len(r.Related) > 0 {
		b = append(b, "\n## Related\n\n"...)
		for _, id := range r.Related {
			b = fmt.Appendf(b, "- [%s](%s.md): %s\n", id, id, fault.Lookup(id).Title)
		}
	}
	return b
}

// DocIndex is the list of all documentation pages, by phase: docs/faults/README.md.
func DocIndex() []byte {
	b := fmt.Appendf(nil, "# Faults\n\nAll %d faults that this gateway can name, by the phase of an exchange in which they are met. "+
		"The name is the same in log, metric, header, page and on the command line: `gatewhy explain NAME`.\n", len(fault.Catalogue()))
	for p := fault.NoPhase; p <= fault.Tunnel; p++ {
		first := true
		for _, r := range fault.Catalogue() {
			if r.Phase != p {
				continue
			}
			if first {
				b = fmt.Appendf(b, "\n## %s\n\n| fault | status | who | what is wrong |\n| --- | --- | --- | --- |\n", or(p.String(), "any"))
				first = false
			}
			status := "-"
			if r.Status != 0 {
				status = fmt.Sprint(r.Status)
			}
			b = fmt.Appendf(b, "| [%s](%s.md) | %s | %s | %s |\n", r.ID, r.ID, status, r.Side, cell(r.Title))
		}
	}
	return b
}

func docList(b []byte, title string, items []string) []byte {
	if len(items) == 0 {
		return b
	}
	b = fmt.Appendf(b, "\n## %s\n\n", title)
	for _, s := range items {
		b = fmt.Appendf(b, "- %s\n", prose(s))
	}
	return b
}

// cell keeps a table's columns apart; inside code spans a backslash before the
// bar is what GitHub wants, too.
func cell(s string) string { return strings.ReplaceAll(prose(s), "|", `\|`) }

// prose keeps angle brackets from being read as tags, outside of code spans.
func prose(s string) string {
	parts := strings.Split(s, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

// sentence begins s with a capital letter.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return prose(strings.ToUpper(s[:1]) + s[1:])
}
