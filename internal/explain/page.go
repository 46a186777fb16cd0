package explain

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/fault"
)

// Page writes what a fault means, for a terminal: `gatewhy explain NAME`. color
// allows ANSI colours. Errors of w are not told.
func Page(w io.Writer, r *fault.Row, color bool) {
	k := ink(color)
	b := fmt.Appendf(nil, "%s · %s\n\n", k.bold(string(r.ID)), r.Title)
	b = fact(b, k, "seen as", strings.Join(seenAs(r), " · "))
	b = fact(b, k, "who", whose(r))
	b = fact(b, k, "retry", retry(r))
	b = append(b, '\n')
	b = appendExample(b, k, r)
	b = section(b, k, "Causes", r.Causes)
	b = section(b, k, "Fix it", r.Fix)
	if r.Bearing != "" {
		b = section(b, k, "Live with it", []string{r.Bearing})
	}
	if len(r.Related) > 0 {
		var names []string
		for _, id := range r.Related {
			names = append(names, string(id))
		}
		b = section(b, k, "Related", []string{strings.Join(names, " ")})
	}
	w.Write(b)
}

// seenAs tells under which names users of this and other gateways meet a fault.
func seenAs(r *fault.Row) (list []string) {
	status := "no status: the answer has begun, or nobody is left to send one to"
	switch {
	case r.Class == fault.ClassClientGone && r.Status != 0:
		status = strconv.Itoa(r.Status) + ", in the log only"
	case r.Status != 0:
		status = strconv.Itoa(r.Status) + " to the client"
	}
	switch r.Kind {
	case fault.Repair:
		list = append(list, "a note in the log; with repairs off "+status)
	case fault.Notice:
		list = append(list, "a note in the log")
	default:
		list = append(list, status)
	}
	if r.Proxy != "" && r.Kind != fault.Notice {
		list = append(list, "Proxy-Status: error="+r.Proxy)
	}
	if r.Nginx != "" {
		list = append(list, "nginx: "+r.Nginx)
	}
	if r.HAProxy != "" {
		list = append(list, "HAProxy: "+r.HAProxy)
	}
	return list
}

// whose says who has to act.
func whose(r *fault.Row) string {
	switch r.Side {
	case fault.Client:
		if r.Class == fault.ClassClientGone {
			return "the client, or the network between it and the gateway; not the application"
		}
		return "the client that sent the request; not the gateway, not the application"
	case fault.Gateway:
		return "this gateway, its machine or its configuration; not the client, not the application"
	case fault.NoSide:
		return "nobody's mistake, or it cannot be told whose"
	}
	switch r.Phase {
	case fault.Resolve:
		return "the name service, or whoever keeps the upstream's name in it; not the client"
	case fault.Connect:
		return "the application's machine, or the network on the way to it; not the client"
	case fault.Secure:
		return "the application's TLS settings or certificate, or ours for it; not the client"
	}
	return "the application (or a proxy in front of it); not the network, not the client"
}

// retry says what a row's retry rule means for it.
func retry(r *fault.Row) string {
	switch {
	case r.Retry == fault.NoRetry && (r.Class == fault.ClassBadRequest || r.Class == fault.ClassNotHere):
		return "none: the same request would fail again"
	case r.Retry == fault.NoRetry && r.Kind == fault.Notice:
		return "none needed: the exchange goes on"
	}
	return retryWords[r.Retry]
}

var retryWords = [...]string{
	fault.NoRetry: "none: no answer is owed, or none can be given",
	fault.RC:      "safe at once, with any method: nothing of the request reached the upstream",
	fault.RU:      "safe once, with any method: the protocol guarantees that the request was not processed",
	fault.RI:      "safe for idempotent methods only, the request may have been processed (RFC 9110 §9.2.2)",
	fault.RP:      "safe with any method if TCP proves that nothing was delivered, else for idempotent methods only",
	fault.RD:      "none: the answer has begun at the client, so the cut is made visible",
	fault.RL:      "no attempt was made: only another route, a queue or a stale answer helps",
	fault.R0:      "useless: the same endpoint would do the same again",
}

// factWidth is the width of a fact's label on a page.
const factWidth = 12

func fact(dst []byte, k ink, label, words string) []byte {
	for _, line := range wrap(words, lineWidth-factWidth-2) {
		dst = fmt.Appendf(dst, "  %s%s\n", k.dim(pad(label, factWidth)), line)
		label = ""
	}
	return dst
}

// sectionWidth is the width of a section's label on a page.
const sectionWidth = 14

func section(dst []byte, k ink, label string, items []string) []byte {
	for _, s := range items {
		for i, line := range wrap(s, lineWidth-sectionWidth-2) {
			if i > 0 && len(items) > 1 {
				line = "  " + line // so that items can be told apart
			}
			dst = fmt.Appendf(dst, "  %s%s\n", k.bold(pad(label, sectionWidth)), line)
			label = ""
		}
	}
	return dst
}

// sideBySide is how wide an example may be to have its reason beside it.
const sideBySide = 40

// appendExample writes the erroneous message beside why it is one.
func appendExample(dst []byte, k ink, r *fault.Row) []byte {
	why := r.Requires + " (" + r.Rule + ")"
	lines, caretLine, caretColumn := draw(r.Example, r.Mark)
	if len(lines) == 0 {
		return append(section(dst, k, "Why", []string{why}), '\n')
	}
	title := "Erroneous answer"
	if r.Side == fault.Client {
		title = "Erroneous request"
	}
	if caretLine >= 0 {
		caret := strings.Repeat(" ", caretColumn) + "^"
		lines = append(lines[:caretLine+1], append([]string{caret}, lines[caretLine+1:]...)...)
	}
	width := len(title)
	for i, l := range lines {
		if n := utf8.RuneCountInString(l) + 2; i != caretLine+1 || caretLine < 0 {
			width = max(width, n)
		} else {
			width = max(width, min(n, sideBySide))
		}
	}
	paint := func(i int, s string) string {
		if caretLine >= 0 && i == caretLine+1 {
			return k.red(s)
		}
		return s
	}
	if width > sideBySide {
		dst = fmt.Appendf(dst, "  %s\n", k.bold(title))
		for i, l := range lines {
			dst = append(dst, strings.TrimRight("    "+paint(i, l), " ")...)
			dst = append(dst, '\n')
		}
		dst = append(dst, '\n')
		return append(section(dst, k, "Why", []string{why}), '\n')
	}
	reason := wrap(why, lineWidth-width-5)
	dst = fmt.Appendf(dst, "  %s   %s\n", k.bold(pad(title, width)), k.bold("Why"))
	for i := range max(len(lines), len(reason)) {
		left, right := "", ""
		if i < len(lines) {
			left = "  " + lines[i]
		}
		if i < len(reason) {
			right = "   " + reason[i]
			left = pad(left, width)
		}
		dst = append(dst, strings.TrimRight("  "+paint(i, left)+right, " ")...)
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// The most of an example that is drawn; some have bodies and long lines.
const (
	exampleLines   = 12
	exampleColumns = 72
)

// draw turns a raw message into lines of visible text. Line ends that are right
// are not seen, others and the marked one are. caretLine is the line of the byte
// at mark, -1 for none, caretColumn its column.
func draw(raw string, mark int) (lines []string, caretLine, caretColumn int) {
	caretLine = -1
	var line []byte
	if mark > len(raw) {
		mark = -1
	}
	note := func(i int) {
		if i == mark {
			caretLine, caretColumn = len(lines), utf8.RuneCount(line)
		}
	}
	for i := 0; i < len(raw); i++ {
		if strings.HasPrefix(raw[i:], "\r\n") {
			if mark == i || mark == i+1 {
				note(i)
				line = append(line, `\r`...)
				note(i + 1)
				line = append(line, `\n`...)
			}
			lines, line = append(lines, string(line)), nil
			i++
			continue
		}
		note(i)
		line = appendVisible(line, []byte{raw[i]})
		if raw[i] == '\n' {
			lines, line = append(lines, string(line)), nil
		}
	}
	note(len(raw))
	if len(line) > 0 || caretLine == len(lines) {
		lines = append(lines, string(line))
	}
	// The empty line that ends a head is only worth showing before a body.
	for n := len(lines); n > 0 && lines[n-1] == "" && caretLine < n-1; n-- {
		lines = lines[:n-1]
	}
	return crop(lines, caretLine, caretColumn)
}

// crop cuts an example to what fits, around its caret.
func crop(lines []string, caretLine, caretColumn int) ([]string, int, int) {
	if len(lines) > exampleLines {
		from := max(0, min(caretLine-exampleLines/2, len(lines)-exampleLines))
		lines = lines[from : from+exampleLines]
		if caretLine >= 0 {
			caretLine -= from
		}
	}
	for i, l := range lines {
		r := []rune(l)
		if len(r) <= exampleColumns {
			continue
		}
		from := 0
		if i == caretLine && caretColumn > exampleColumns/2 {
			from = min(caretColumn-exampleColumns/2, len(r)-exampleColumns)
			caretColumn -= from
		}
		l = string(r[from:min(len(r), from+exampleColumns)])
		if from+exampleColumns < len(r) {
			l += "…"
		}
		if from > 0 {
			l = "…" + l
			caretColumn++
		}
		lines[i] = l
	}
	return lines, caretLine, caretColumn
}
