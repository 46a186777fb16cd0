package explain

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/fault"
)

// style is all the looks of the page. It says light and dark, follows the
// reader's font size, and marks the party at fault by more than colour.
const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}` +
	`body{max-width:36rem;margin:10vh auto;padding:0 1rem;overflow-wrap:anywhere}` +
	`ol.way{list-style:none;display:flex;gap:.5rem;padding:0}` +
	`.way li{flex:1;text-align:center;border-top:4px solid #2a7;padding-top:.4rem}` +
	`.way .bad{border-top:8px solid #c33;font-weight:bold}.way .off{border-color:#8888}` +
	`code{user-select:all}small{opacity:.8}`

// detailStyle is added for operators.
const detailStyle = `body{max-width:60rem}pre{overflow-x:auto;font-size:.85rem}mark{background:#fc0;color:#000}` +
	`table{border-collapse:collapse}td,th{text-align:left;padding:.1rem .8rem .1rem 0;vertical-align:top}td:first-child{text-align:right;white-space:nowrap}`

func (v *view) html(dst []byte) []byte {
	say, s := v.say, v.sentences()
	dst = fmt.Appendf(dst, `<!doctype html><html lang="%s"><meta charset="utf-8">`+
		`<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex"><title>%s (%d)</title><style>%s`,
		say.Tag, s.Heading, v.status(), style)
	if v.a.Detail {
		dst = append(dst, detailStyle...)
	}
	dst = fmt.Appendf(dst, "</style>\n<main><h1>%s</h1>\n<p>%s", s.Heading, s.Told)
	if v.t.N > 1 {
		dst = fmt.Appendf(append(dst, ' '), say.Tried, v.t.N)
	}
	dst = append(dst, "</p>\n"...)
	dst = v.blame(dst)
	dst = append(dst, "<p>"...)
	if advice := v.advice(); advice != "" {
		dst = fmt.Appendf(dst, "<strong>%s</strong> ", advice)
	}
	dst = fmt.Appendf(dst, "%s</p>\n", v.became())
	dst = fmt.Appendf(dst, "<p><small>%d · %s (%s)", v.status(), s.Mark, visible(string(v.f.ID)))
	if id := v.incident(); id != "" {
		dst = fmt.Appendf(dst, " · %s <code>%s</code>", say.Incident, id)
	}
	dst = v.began().AppendFormat(append(dst, " · "...), "2 Jan 2006 15:04:05 UTC")
	if v.incident() != "" {
		dst = append(dst, "<br>\n"...)
		dst = v.quote(dst)
	}
	dst = append(dst, "</small></p>\n"...)
	if v.a.Detail {
		dst = v.htmlDetail(dst)
	}
	return append(dst, "</main></html>\n"...)
}

// quote asks the reader to tell the incident's number.
func (v *view) quote(dst []byte) []byte {
	contact := v.a.Contact
	if contact == "" {
		return append(dst, v.say.Ask...)
	}
	dst = append(append(dst, v.say.Quote...), ' ')
	link := ""
	switch {
	case strings.HasPrefix(contact, "https://"), strings.HasPrefix(contact, "http://"):
		link = contact
	case strings.Contains(contact, "@") && !strings.ContainsAny(contact, " :?&"):
		link = "mailto:" + contact
	}
	if link == "" {
		dst = appendHTML(dst, contact)
	} else {
		dst = appendHTML(append(dst, `<a href="`...), link)
		dst = appendHTML(append(dst, `">`...), contact)
		dst = append(dst, "</a>"...)
	}
	return append(dst, '.')
}

// blame is the line with the three parties: who works, who does not, and who
// was never asked.
func (v *view) blame(dst []byte) []byte {
	say, s := v.say, v.sentences()
	dst = fmt.Appendf(dst, `<ol class="way" aria-label="%s">`, say.Where)
	for _, p := range []struct {
		name string
		side fault.Side
	}{{say.You, fault.Client}, {say.Gateway, fault.Gateway}, {say.Application, fault.Upstream}} {
		switch {
		case p.side == v.row.Side:
			dst = fmt.Appendf(dst, `<li class="bad">%s<br><small>%s</small></li>`, p.name, s.Mark)
		case p.side == fault.Upstream && v.t.N == 0:
			dst = fmt.Appendf(dst, `<li class="off">%s<br><small>%s</small></li>`, p.name, say.NotAsked)
		default:
			dst = fmt.Appendf(dst, `<li>%s<br><small>%s</small></li>`, p.name, say.Working)
		}
	}
	return append(dst, "</ol>\n"...)
}

// htmlDetail is what operators see below the page.
func (v *view) htmlDetail(dst []byte) []byte {
	dst = appendHTML(append(dst, "<hr><h2>"...), v.row.Title)
	dst = appendHTML(append(dst, "</h2>\n<p>"...), v.observed(v.f))
	dst = append(dst, "</p>\n<h3>Timeline</h3>\n<table>"...)
	for _, e := range v.timeline() {
		dst = append(append(append(dst, "<tr><td>"...), millis(int64(e.at))...), " ms</td><td>"...)
		dst = appendHTML(append(appendHTML(dst, e.words), "</td><td>"...), string(e.id))
		dst = append(dst, "</td></tr>\n"...)
	}
	dst = append(dst, "</table>\n"...)
	if rows := v.attempts(); len(rows) > 0 {
		dst = append(dst, "<h3>Attempts</h3>\n<table>"...)
		for i, r := range rows {
			cell := "td"
			if i == 0 {
				cell = "th"
			}
			dst = append(dst, "<tr>"...)
			for _, c := range r {
				dst = append(appendHTML(append(append(append(dst, '<'), cell...), '>'), c), "</"...)
				dst = append(append(dst, cell...), '>')
			}
			dst = append(dst, "</tr>\n"...)
		}
		dst = append(dst, "</table>\n"...)
	}
	if e := v.evidence(); e != nil {
		dst = append(appendHTML(append(dst, "<h3>"...), e.title), "</h3>\n<pre>"...)
		for _, l := range hexLines(e.bytes, e.base, e.mark) {
			dst = append(l.appendTo(dst, true), '\n')
		}
		dst = append(dst, "</pre>\n"...)
		if e.note != "" {
			dst = append(appendHTML(append(dst, "<p>"...), e.note), "</p>\n"...)
		}
	}
	dst = htmlSection(dst, "The rule", []string{v.row.Requires + " (" + v.row.Rule + ")"})
	dst = htmlSection(dst, "Likely causes", v.row.Causes)
	dst = htmlSection(dst, "Fix it", v.row.Fix)
	if v.row.Bearing != "" {
		dst = htmlSection(dst, "Live with it", []string{v.row.Bearing})
	}
	return htmlSection(dst, "Receipts", v.receipts())
}

func htmlSection(dst []byte, title string, items []string) []byte {
	if len(items) == 0 {
		return dst
	}
	dst = append(append(append(dst, "<h3>"...), title...), "</h3>\n<ul>"...)
	for _, s := range items {
		dst = append(appendHTML(append(dst, "<li>"...), s), "</li>\n"...)
	}
	return append(dst, "</ul>\n"...)
}

// millis writes nanoseconds as milliseconds with one decimal.
func millis(ns int64) string { return strconv.FormatFloat(float64(ns)/1e6, 'f', 1, 64) }
