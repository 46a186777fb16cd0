package prove

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// An answer is what a client got, read by a reader that forgives nothing and
// shares no code with the gateway: a flaw in it is a bug of ours.
type answer struct {
	status  int // of the final answer; 0: not one byte of it came
	fields  []field
	trailer []field
	body    []byte // payload without framing, at most kept bytes of it
	size    int64  // of the payload
	whole   bool   // the framing says that nothing is missing
	interim []int  // statuses of the 1xx before it
	cut     error  // what ended it early; nil if whole
	flaw    string // the rule that it breaks; "" for none
	closes  bool   // the connection ends behind it
}

type field struct{ name, value string }

// get returns the values of a field, joined as a list (RFC 9110 §5.3).
func (a *answer) get(name string) string {
	var values []string
	for _, f := range a.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return strings.Join(values, ", ")
}

// has reports whether there is such a field.
func (a *answer) has(name string) bool {
	for _, f := range a.fields {
		if strings.EqualFold(f.name, name) {
			return true
		}
	}
	return false
}

// said is the value of a field of the trailer or, in an answer that is one, of the
// head.
func (a *answer) said(name string) string {
	for _, f := range a.trailer {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return a.get(name)
}

// kept bounds what is remembered of a body.
const kept = 1 << 20

// maxLine bounds a line of an answer. The corpus has field lines of 70 kB.
const maxLine = 256 << 10

// flawed is the error for bytes that break a rule; it names the rule.
type flawed string

func (f flawed) Error() string { return string(f) }

// readAnswer reads one final answer with what comes before it. toHead says that
// the method was HEAD, which has no body.
func readAnswer(r *bufio.Reader, toHead bool) *answer {
	for interim := []int(nil); ; {
		a := &answer{interim: interim}
		err := a.readHead(r)
		if err == nil && a.status >= 100 && a.status < 200 && a.status != 101 {
			interim = append(interim, a.status)
			continue
		}
		if err == nil {
			err = a.readBody(r, toHead)
		}
		var f flawed
		switch {
		case err == nil:
			a.whole = true
		case errors.As(err, &f):
			a.flaw = string(f)
		default:
			a.cut = err
		}
		return a
	}
}

func (a *answer) readHead(r *bufio.Reader) error {
	line, err := readLine(r)
	if err != nil {
		return err
	}
	// HTTP/1.1 SP 3DIGIT SP [ reason-phrase ] (RFC 9112 §4)
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(rest) < 4 || rest[3] != ' ' {
		return flawed("no status line: " + strconv.QuoteToASCII(line))
	}
	status, err := strconv.ParseUint(rest[:3], 10, 16)
	if err != nil || status < 100 || status > 599 {
		return flawed("no status code: " + strconv.QuoteToASCII(line))
	}
	if i := strings.IndexFunc(rest[4:], control); i >= 0 {
		return flawed("a control character in the reason phrase: " + strconv.QuoteToASCII(line))
	}
	for {
		line, err := readLine(r)
		if err != nil {
			a.fields = nil
			return err
		}
		if line == "" {
			a.status = int(status)
			return nil
		}
		f, err := readField(line)
		if err != nil {
			return err
		}
		a.fields = append(a.fields, f)
	}
}

func readField(line string) (field, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" || strings.IndexFunc(name, notToken) >= 0 {
		return field{}, flawed("no field line: " + strconv.QuoteToASCII(line))
	}
	if strings.IndexFunc(value, control) >= 0 {
		return field{}, flawed("a control character in a field value: " + strconv.QuoteToASCII(line))
	}
	return field{name, strings.Trim(value, " \t")}, nil
}

func control(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

func notToken(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.ContainsRune("!#$%&'*+-.^_`|~", c))
}

// readLine reads a line that ends in CRLF. A LF without CR is a flaw, and so is
// a CR without LF. What is cut inside a line is io.ErrUnexpectedEOF.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return "", flawed("a line longer than any that we were told to pass on")
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		}
		text, ok := strings.CutSuffix(string(line), "\r\n")
		if !ok {
			return "", flawed("a line that ends in LF alone: " + strconv.QuoteToASCII(string(line)))
		}
		if strings.ContainsRune(text, '\r') {
			return "", flawed("a CR inside a line: " + strconv.QuoteToASCII(text))
		}
		return text, nil
	}
}

// readBody finds the body as RFC 9112 §6.3 says.
func (a *answer) readBody(r *bufio.Reader, toHead bool) error {
	a.closes = strings.EqualFold(a.get("Connection"), "close")
	length, coding := a.has("Content-Length"), a.has("Transfer-Encoding")
	bodyless := a.status < 200 || a.status == 204
	switch {
	case length && coding:
		return flawed("both Content-Length and Transfer-Encoding")
	case bodyless && (length || coding):
		return flawed("Content-Length or Transfer-Encoding where no body can be")
	case bodyless || toHead || a.status == 304:
		return nil
	case coding:
		if !strings.EqualFold(a.get("Transfer-Encoding"), "chunked") {
			return flawed("transfer coding " + strconv.QuoteToASCII(a.get("Transfer-Encoding")))
		}
		return a.readChunks(r)
	case length:
		n, err := strconv.ParseUint(a.get("Content-Length"), 10, 63)
		if err != nil {
			return flawed("Content-Length " + strconv.QuoteToASCII(a.get("Content-Length")))
		}
		return a.take(r, int64(n))
	}
	a.closes = true
	if err := a.take(r, math.MaxInt64); err != io.ErrUnexpectedEOF {
		return err
	}
	return nil
}

func (a *answer) readChunks(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return early(err)
		}
		size, err := strconv.ParseUint(line, 16, 62)
		if err != nil {
			return flawed("chunk size " + strconv.QuoteToASCII(line))
		}
		if size == 0 {
			return a.readTrailer(r)
		}
		if err := a.take(r, int64(size)); err != nil {
			return err
		}
		if line, err = readLine(r); err != nil {
			return early(err)
		}
		if line != "" {
			return flawed("bytes behind a chunk: " + strconv.QuoteToASCII(line))
		}
	}
}

func (a *answer) readTrailer(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return early(err)
		}
		if line == "" {
			return nil
		}
		f, err := readField(line)
		if err != nil {
			return err
		}
		a.trailer = append(a.trailer, f)
	}
}

// take reads n bytes of payload.
func (a *answer) take(r *bufio.Reader, n int64) error {
	for n > 0 {
		if r.Buffered() == 0 {
			if _, err := r.Peek(1); err != nil {
				return early(err)
			}
		}
		piece, _ := r.Peek(int(min(n, int64(r.Buffered()))))
		a.body = append(a.body, piece[:min(len(piece), kept-len(a.body))]...)
		a.size += int64(len(piece))
		n -= int64(len(piece))
		r.Discard(len(piece))
	}
	return nil
}

// early tells an end inside a message from one before it.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// String says in a few words what came.
func (a *answer) String() string {
	switch {
	case a.flaw != "":
		return "an answer that breaks a rule: " + a.flaw
	case a.status == 0 && a.cut != nil:
		return fmt.Sprintf("no answer (%v)", a.cut)
	case !a.whole:
		return fmt.Sprintf("status %d, cut after %d bytes (%v)", a.status, a.size, a.cut)
	}
	return fmt.Sprintf("status %d with %d bytes", a.status, a.size)
}
