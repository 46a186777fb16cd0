package explain

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gatewhy/gatewhy/fault"
)

// Each page of the real catalogue is whole, fits the screen and is only text.
func TestPageCatalogue(t *testing.T) {
	for _, r := range fault.Catalogue() {
		var b bytes.Buffer
		Page(&b, r, false)
		page := b.String()
		if !strings.HasPrefix(page, string(r.ID)+" · "+r.Title+"\n") {
			t.Errorf("%s begins with %q", r.ID, page[:min(len(page), 60)])
		}
		for _, part := range []string{"  seen as", "  who ", "  retry ", "Why", "  Fix it"} {
			if !strings.Contains(page, part) {
				t.Errorf("%s lacks %q:\n%s", r.ID, part, page)
			}
		}
		for line := range strings.Lines(page) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > lineWidth+len(r.ID)+3 && strings.Contains(line[lineWidth/2:], " ") {
				t.Errorf("%s: a line of %d: %q", r.ID, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: spaces at the end of %q", r.ID, line)
			}
		}
		for _, c := range page {
			if c != '\n' && (c < ' ' || c >= 0x7f && isHostile(c)) {
				t.Errorf("%s: raw %U", r.ID, c)
			}
		}
	}
}

// The caret stands under the byte that the row marks.
func TestDrawMarksTheByte(t *testing.T) {
	marked := 0
	for _, r := range fault.Catalogue() {
		lines, line, column := draw(r.Example, r.Mark)
		if r.Example == "" || r.Mark < 0 {
			if line != -1 {
				t.Errorf("%s: a caret without a mark", r.ID)
			}
			continue
		}
		if line < 0 || line >= len(lines) {
			t.Errorf("%s: no caret", r.ID)
			continue
		}
		marked++
		if r.Mark == len(r.Example) {
			continue
		}
		rest := string([]rune(lines[line])[column:])
		if want := visible(r.Example[r.Mark : r.Mark+1]); !strings.HasPrefix(rest, want) {
			t.Errorf("%s: the caret is under %q, not %q", r.ID, rest, want)
		}
	}
	if marked == 0 {
		t.Error("no row has a mark")
	}
}

func TestDraw(t *testing.T) {
	long := strings.Repeat("a", 100)
	for _, c := range []struct {
		name, raw    string
		mark         int
		lines        []string
		line, column int
	}{
		{"nothing", "", -1, nil, -1, 0},
		{"no mark", "a\r\nb\r\n", -1, []string{"a", "b"}, -1, 0},
		{"a byte", "a\r\nbc", 4, []string{"a", "bc"}, 1, 1},
		{"CR of a line end", "a\r\nb", 1, []string{`a\r\n`, "b"}, 0, 1},
		{"LF of a line end", "a\r\nb", 2, []string{`a\r\n`, "b"}, 0, 3},
		{"bare LF", "a\nb", 1, []string{`a\n`, "b"}, 0, 1},
		{"bare CR", "a\rb", 1, []string{`a\rb`}, 0, 1},
		{"behind an escape", "\x00\xffb", 2, []string{`\x00\xffb`}, 0, 8},
		{"the end", "a\r\n", 3, []string{"a", ""}, 1, 0},
		{"the end of a line", "a", 1, []string{"a"}, 0, 1},
		{"out of range", "a", 2, []string{"a"}, -1, 0},
		{"long line", long, -1, []string{long[:72] + "…"}, -1, 0},
		{"long line, mark at its end", long, 99, []string{"…" + long[:72]}, 0, 72},
	} {
		lines, line, column := draw(c.raw, c.mark)
		if d := cmp.Diff(c.lines, lines); d != "" || line != c.line || column != c.column {
			t.Errorf("%s: caret %d %d, want %d %d\n%s", c.name, line, column, c.line, c.column, d)
		}
	}
	lines, line, _ := draw(strings.Repeat("x\r\n", 50)+"y", 150)
	if len(lines) != exampleLines || lines[line] != "y" {
		t.Errorf("%d lines, caret under %q", len(lines), lines[line])
	}
}

func TestHex(t *testing.T) {
	for _, c := range []struct {
		name       string
		b          string
		base, mark int64
		want       string
	}{
		{"nothing", "", 0, -1, ""},
		{"the design's example", "HTTP/1.1 200 OK\r\nX-Bad Header: 1", 0, 22, "" +
			"0000  48 54 54 50 2f 31 2e 31  20 32 30 30 20 4f 4b 0d   HTTP/1.1 200 OK·\n" +
			"0010  0a 58 2d 42 61 64 20 48  65 61 64 65 72 3a 20 31   ·X-Bad Header: 1\n" +
			"                        ^^                                     ^\n"},
		{"not from the start", "abc", 0x12, 0x13, "" +
			"0010        61 62 63                                       abc\n" +
			"               ^^                                           ^\n"},
		{"where bytes are missing", "0123456789abcdef", 0, 16, "" +
			"0000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66   0123456789abcdef\n" +
			"0010                                                     \n" +
			"      ^^                                                 ^\n"},
		{"far away", "a", 0x123456, -1, "" +
			"123450                    61                                     a\n"},
		{"mark before", "a", 16, 3, "0010  61                                                 a\n"},
		{"mark behind", "a", 16, 18, "0010  61                                                 a\n"},
	} {
		if d := cmp.Diff(c.want, string(Hex(nil, []byte(c.b), c.base, c.mark))); d != "" {
			t.Errorf("%s:\n%s", c.name, d)
		}
	}
}

var hexDigits = regexp.MustCompile(`^([0-9a-f]{4,16})  ([0-9a-f ]{49})  `)

// A hex view says every byte, and its caret stands under the marked one.
func FuzzHex(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nX-Bad Header: 1"), uint32(0), uint32(22))
	f.Add([]byte("\x1b\x80·"), uint32(65535), uint32(65537))
	f.Fuzz(func(t *testing.T, b []byte, base, mark uint32) {
		view := string(Hex(nil, b, int64(base), int64(mark)))
		var back []byte
		at := int64(base)
		carets := 0
		lines := strings.Split(view, "\n")
		for i, line := range lines[:len(lines)-1] {
			if strings.Trim(line, " ^") == "" && strings.Contains(line, "^^") {
				carets++
				column := strings.Index(line, "^^")
				want := "  "
				if n := int64(mark) - int64(base); n < int64(len(b)) {
					want = hex.EncodeToString(b[n : n+1])
				}
				if got := lines[i-1][column : column+2]; got != want {
					t.Fatalf("the caret is under %q, want %q:\n%s", got, want, view)
				}
				text := []rune(lines[i-1])
				if at := strings.LastIndexByte(line, '^'); want != "  " && text[at] != '·' && byte(text[at]) != b[int64(mark)-int64(base)] {
					t.Fatalf("the caret is under %q in the text:\n%s", text[at], view)
				}
				continue
			}
			m := hexDigits.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("no hex view: %q", line)
			}
			part, err := hex.DecodeString(strings.ReplaceAll(m[2], " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, part...)
			at += int64(len(part))
		}
		if !bytes.Equal(back, b) || at != int64(base)+int64(len(b)) {
			t.Fatalf("%q became %q:\n%s", b, back, view)
		}
		inside := int64(mark) >= int64(base) && int64(mark) <= int64(base)+int64(len(b))
		if (carets == 1) != inside {
			t.Fatalf("%d carets for mark %d:\n%s", carets, mark, view)
		}
	})
}

var link = regexp.MustCompile(`\]\(([a-z0-9_]+)\.md\)`)

// Every row has its page, in the index too, and no link leads nowhere.
func TestDocs(t *testing.T) {
	index := string(DocIndex())
	for _, r := range fault.Catalogue() {
		doc := string(Doc(r))
		if !strings.HasPrefix(doc, "# "+string(r.ID)+"\n\n") || !strings.Contains(doc, "\n## Why\n") || !strings.Contains(doc, "\n## Fix it\n") {
			t.Errorf("%s: %s", r.ID, doc)
		}
		if n := strings.Count(index, "["+string(r.ID)+"]("+string(r.ID)+".md)"); n != 1 {
			t.Errorf("%s stands in the index %d times", r.ID, n)
		}
		for _, m := range link.FindAllStringSubmatch(doc, -1) {
			if !fault.Known(fault.ID(m[1])) {
				t.Errorf("%s links to %s", r.ID, m[1])
			}
		}
		for line := range strings.Lines(doc) {
			bars := strings.Count(line, "|") - strings.Count(line, `\|`)
			if strings.HasPrefix(line, "| ") && bars != 3 {
				t.Errorf("%s: a row of %d bars: %s", r.ID, bars, line)
			}
		}
	}
}

func TestFill(t *testing.T) {
	f := &fault.Fault{Param: []fault.Param{{Name: "a", Value: "{b}"}, {Name: "b", Value: "x"}}}
	for in, want := range map[string]string{"": "", "{a} {b} {c}": "{b} x ?", "open { brace": "open { brace", "{b": "{b", "}{b}": "}x"} {
		if got := fill(in, f); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("one two  three (RFC 9110 §5.6.2) averyveryverylongword end", 12)
	want := []string{"one two", "three", "(RFC 9110 §5.6.2)", "averyveryverylongword", "end"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
