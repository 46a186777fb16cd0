package incident

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// The JSON form: names as in the access log where the same thing is meant,
// stamps in milliseconds since the exchange began, zero and empty left out.
type (
	recordJSON struct {
		Incident       string        `json:"incident"`
		Began          int64         `json:"began_unix_ns"`
		Client         text          `json:"client.address,omitempty"`
		Trusted        bool          `json:"trusted,omitempty"`
		Method         text          `json:"http.request.method,omitempty"`
		Scheme         string        `json:"url.scheme,omitempty"`
		TLS            *tlsJSON      `json:"tls,omitempty"`
		Authority      text          `json:"authority,omitempty"`
		Path           text          `json:"path,omitempty"`
		Major          uint8         `json:"major,omitempty"`
		Minor          uint8         `json:"minor,omitempty"`
		Call           bool          `json:"grpc,omitempty"`
		GRPCStatus     int           `json:"grpc_status,omitempty"`
		Site           string        `json:"site,omitempty"`
		Route          string        `json:"http.route,omitempty"`
		RequestID      text          `json:"request_id,omitempty"`
		Trace          bits          `json:"trace_id,omitempty"`
		Span           bits          `json:"span_id,omitempty"`
		Parent         bits          `json:"parent_span_id,omitempty"`
		Sampled        bool          `json:"sampled,omitempty"`
		HeadRead       ms            `json:"head_read_ms,omitempty"`
		BodyRead       ms            `json:"body_read_ms,omitempty"`
		Answered       ms            `json:"answered_ms,omitempty"`
		Ended          ms            `json:"ended_ms,omitempty"`
		Status         int           `json:"http.response.status_code,omitempty"`
		UpstreamStatus int           `json:"upstream.status_code,omitempty"`
		In             int64         `json:"bytes_in,omitempty"`
		Out            int64         `json:"bytes_out,omitempty"`
		Cut            bool          `json:"cut,omitempty"`
		Fault          *faultJSON    `json:"fault,omitempty"`
		Rescued        bool          `json:"rescued"`
		Hedged         bool          `json:"hedged,omitempty"`
		Withheld       *faultJSON    `json:"withheld,omitempty"`
		Attempts       []attemptJSON `json:"attempts,omitempty"`
		Notices        []noticeJSON  `json:"notices,omitempty"`
		NoticeCount    int           `json:"notice_count,omitempty"`
	}
	tlsJSON struct {
		Version string `json:"version,omitempty"`
		Cipher  string `json:"cipher,omitempty"`
		ALPN    text   `json:"alpn,omitempty"`
		SNI     text   `json:"sni,omitempty"`
		Resumed bool   `json:"resumed,omitempty"`
		Client  text   `json:"client_subject,omitempty"`
	}
	attemptJSON struct {
		Upstream      string     `json:"upstream,omitempty"`
		Endpoint      string     `json:"endpoint,omitempty"`
		Span          bits       `json:"span_id,omitempty"`
		Address       string     `json:"address,omitempty"`
		Secure        bool       `json:"secure,omitempty"`
		HTTP2         bool       `json:"http2,omitempty"`
		Reused        bool       `json:"reused,omitempty"`
		Age           ms         `json:"age_ms,omitempty"`
		Idle          ms         `json:"idle_ms,omitempty"`
		Serial        int        `json:"serial,omitempty"`
		Began         ms         `json:"began_ms,omitempty"`
		Selected      ms         `json:"selected_ms,omitempty"`
		Resolved      ms         `json:"resolved_ms,omitempty"`
		Connected     ms         `json:"connected_ms,omitempty"`
		Secured       ms         `json:"secured_ms,omitempty"`
		Sent          ms         `json:"sent_ms,omitempty"`
		FirstByte     ms         `json:"first_byte_ms,omitempty"`
		HeadRead      ms         `json:"head_read_ms,omitempty"`
		Ended         ms         `json:"ended_ms,omitempty"`
		BytesSent     int64      `json:"bytes_sent,omitempty"`
		BytesReceived int64      `json:"bytes_received,omitempty"`
		Status        int        `json:"status,omitempty"`
		Lost          bool       `json:"lost,omitempty"`
		Fault         *faultJSON `json:"fault,omitempty"`
		First         *pieceJSON `json:"first,omitempty"`
		Last          *pieceJSON `json:"last,omitempty"`
	}
	faultJSON struct {
		ID     fault.ID    `json:"id"`
		Phase  string      `json:"phase"`
		Params []paramJSON `json:"params,omitempty"`
		Saw    *pieceJSON  `json:"saw,omitempty"`
		Offset int64       `json:"offset"` // of the offending byte, -1 for none
		Err    text        `json:"error,omitempty"`
	}
	paramJSON struct {
		Name  string `json:"name"`
		Value text   `json:"value"`
	}
	// pieceJSON is raw bytes: Bytes is the truth, Text is for reading.
	pieceJSON struct {
		Base  int64  `json:"base"`
		Bytes []byte `json:"base64"`
		Text  string `json:"text"`
	}
	noticeJSON struct {
		ID      fault.ID `json:"id"`
		At      int64    `json:"offset"`
		Attempt int8     `json:"attempt"`
	}
)

// ms is a duration in nanoseconds that JSON shows in milliseconds. A float64
// holds both without loss up to 104 days.
type ms int64

func (m ms) MarshalJSON() ([]byte, error) { return json.Marshal(float64(m) / 1e6) }

func (m *ms) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if math.Abs(f) > math.MaxInt64/2e6 {
		return fmt.Errorf("%s milliseconds are out of range", b)
	}
	*m = ms(math.Round(f * 1e6))
	return nil
}

// text is bytes that are nearly always UTF-8. JSON cannot hold others: they are
// written as {"base64": ...}, so that nothing is lost.
type text string

type base64Text struct {
	Bytes []byte `json:"base64"`
}

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(base64Text{[]byte(t)})
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var raw base64Text
		err := json.Unmarshal(b, &raw)
		*t = text(raw.Bytes)
		return err
	}
	return json.Unmarshal(b, (*string)(t))
}

// bits are an id of a trace, which JSON shows in hexadecimal; empty if it is all zeros.
type bits []byte

func bitsOf(b []byte) bits {
	if len(bytes.Trim(b, "\x00")) == 0 {
		return nil
	}
	return b
}

func (b bits) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (b *bits) UnmarshalText(s []byte) (err error) {
	*b, err = hex.AppendDecode(nil, s)
	return err
}

// MarshalJSON writes the record with all that it knows.
func (r *Record) MarshalJSON() ([]byte, error) {
	t := r.Trail
	j := recordJSON{Incident: string(t.Incident[:]), Began: t.Began, Client: text(t.Client), Trusted: t.Trusted,
		Method: text(t.Method), Scheme: t.Scheme, Authority: text(t.Authority), Path: text(t.Path), Major: t.Major, Minor: t.Minor, Call: t.Call, GRPCStatus: t.GRPCStatus,
		Site: t.Site, Route: t.Route, RequestID: text(t.RequestID), Trace: bitsOf(t.Trace[:]), Span: bitsOf(t.Span[:]), Parent: bitsOf(t.Parent[:]), Sampled: t.Sampled,
		HeadRead: ms(t.HeadRead), BodyRead: ms(t.BodyRead), Answered: ms(t.Answered), Ended: ms(t.Ended),
		Status: t.Status, UpstreamStatus: t.UpstreamStatus, In: t.In, Out: t.Out, Cut: t.Cut, Fault: encodeFault(t.Fault),
		Rescued: t.Rescued, Hedged: t.Hedged, Withheld: encodeFault(t.Withheld), NoticeCount: t.NNotice}
	if s := t.TLS; s != nil {
		j.TLS = &tlsJSON{Version: s.Version, Cipher: s.Cipher, ALPN: text(s.ALPN), SNI: text(s.SNI), Resumed: s.Resumed, Client: text(s.Client)}
	}
	for i := range t.Tries() {
		j.Attempts = append(j.Attempts, encodeAttempt(&t.Attempts[i]))
	}
	for _, n := range t.Receipts() {
		j.Notices = append(j.Notices, noticeJSON(n))
	}
	return json.Marshal(&j)
}

func encodeAttempt(a *trail.Attempt) attemptJSON {
	j := attemptJSON{Upstream: a.Upstream, Endpoint: a.Endpoint, Span: bitsOf(a.Span[:]), Address: a.Address, Secure: a.Secure, HTTP2: a.HTTP2, Reused: a.Reused,
		Age: ms(a.Age), Idle: ms(a.Idle), Serial: a.Serial, Began: ms(a.Began), Selected: ms(a.Selected), Resolved: ms(a.Resolved),
		Connected: ms(a.Connected), Secured: ms(a.Secured), Sent: ms(a.Sent), FirstByte: ms(a.FirstByte),
		HeadRead: ms(a.HeadRead), Ended: ms(a.Ended), BytesSent: a.BytesSent, BytesReceived: a.BytesReceived,
		Status: a.Status, Lost: a.Lost, Fault: encodeFault(a.Fault)}
	if len(a.First) > 0 {
		j.First = encodePiece(a.First, 0)
	}
	if len(a.Last) > 0 {
		j.Last = encodePiece(a.Last, max(0, a.BytesReceived-int64(len(a.Last))))
	}
	return j
}

func encodeFault(f *fault.Fault) *faultJSON {
	if f == nil {
		return nil
	}
	j := &faultJSON{ID: f.ID, Phase: f.At.String(), Offset: f.Offset()}
	for _, p := range f.Param {
		j.Params = append(j.Params, paramJSON{p.Name, text(p.Value)})
	}
	if f.Saw != nil {
		j.Saw = encodePiece(f.Saw.Bytes, f.Saw.Base)
	}
	if f.Err != nil {
		j.Err = text(f.Err.Error())
	}
	return j
}

func encodePiece(b []byte, base int64) *pieceJSON {
	var s strings.Builder
	for _, c := range b {
		switch {
		case c == '\n' || c >= ' ' && c < 0x7f:
			s.WriteByte(c)
		case c != '\r':
			s.WriteByte('.')
		}
	}
	return &pieceJSON{Base: base, Bytes: b, Text: s.String()}
}

// UnmarshalRecord reads what MarshalJSON wrote. The input may come from another
// version: members that are not known are ignored. It returns an error for
// anything that is no record, and never a trail that is out of its bounds.
func UnmarshalRecord(b []byte) (*Record, error) {
	var j recordJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fmt.Errorf("not an incident record: %w", err)
	}
	id, ok := Parse(j.Incident)
	if !ok {
		return nil, fmt.Errorf("not an incident record: %q is no incident id", j.Incident)
	}
	t := &trail.Trail{Incident: id, Began: j.Began, Client: octets(j.Client), Trusted: j.Trusted, Method: octets(j.Method),
		Scheme: j.Scheme, Authority: octets(j.Authority), Path: octets(j.Path), Major: j.Major, Minor: j.Minor, Call: j.Call, GRPCStatus: j.GRPCStatus, Site: j.Site, Route: j.Route,
		RequestID: octets(j.RequestID), Sampled: j.Sampled,
		HeadRead: trail.Stamp(j.HeadRead), BodyRead: trail.Stamp(j.BodyRead), Answered: trail.Stamp(j.Answered),
		Ended: trail.Stamp(j.Ended), Status: j.Status, UpstreamStatus: j.UpstreamStatus, In: j.In, Out: j.Out, Cut: j.Cut,
		Fault: decodeFault(j.Fault), Rescued: j.Rescued, Hedged: j.Hedged, Withheld: decodeFault(j.Withheld)}
	copy(t.Trace[:], j.Trace)
	copy(t.Span[:], j.Span)
	copy(t.Parent[:], j.Parent)
	if len(j.Attempts) > trail.MaxAttempts {
		return nil, fmt.Errorf("not an incident record: %d attempts, at most %d are possible", len(j.Attempts), trail.MaxAttempts)
	}
	if len(j.Notices) > trail.MaxNotices || j.NoticeCount < len(j.Notices) {
		return nil, errors.New("not an incident record: more notices than it counts")
	}
	for i := range j.Attempts {
		t.Attempts[i] = decodeAttempt(&j.Attempts[i])
	}
	if s := j.TLS; s != nil {
		t.TLS = &trail.TLS{Version: s.Version, Cipher: s.Cipher, ALPN: string(s.ALPN), SNI: string(s.SNI), Resumed: s.Resumed, Client: string(s.Client)}
	}
	t.N = len(j.Attempts)
	for i, n := range j.Notices {
		t.Notices[i] = trail.Notice(n)
	}
	t.NNotice = j.NoticeCount
	if len(j.Notices) < trail.MaxNotices {
		t.NNotice = len(j.Notices)
	}
	return &Record{Trail: t}, nil
}

func decodeAttempt(j *attemptJSON) trail.Attempt {
	var span [8]byte
	copy(span[:], j.Span)
	return trail.Attempt{Span: span, Upstream: j.Upstream, Endpoint: j.Endpoint, Address: j.Address, Secure: j.Secure, HTTP2: j.HTTP2, Reused: j.Reused,
		Age: int64(j.Age), Idle: int64(j.Idle), Serial: j.Serial, Began: trail.Stamp(j.Began), Selected: trail.Stamp(j.Selected),
		Resolved: trail.Stamp(j.Resolved), Connected: trail.Stamp(j.Connected), Secured: trail.Stamp(j.Secured),
		Sent: trail.Stamp(j.Sent), FirstByte: trail.Stamp(j.FirstByte), HeadRead: trail.Stamp(j.HeadRead),
		Ended: trail.Stamp(j.Ended), BytesSent: j.BytesSent, BytesReceived: j.BytesReceived, Status: j.Status, Lost: j.Lost,
		Fault: decodeFault(j.Fault), First: j.First.bytes(), Last: j.Last.bytes()}
}

func decodeFault(j *faultJSON) *fault.Fault {
	if j == nil {
		return nil
	}
	f := &fault.Fault{ID: j.ID, At: phaseNamed(j.Phase)}
	for _, p := range j.Params {
		f.Param = append(f.Param, fault.Param{Name: p.Name, Value: string(p.Value)})
	}
	if j.Saw != nil {
		f.Saw = &fault.Excerpt{Bytes: j.Saw.Bytes, Base: j.Saw.Base, Mark: j.Offset}
	}
	if j.Err != "" {
		f.Err = errors.New(string(j.Err))
	}
	return f
}

// phaseNamed finds a phase by its word; an unknown word is NoPhase.
func phaseNamed(name string) fault.Phase {
	for p := fault.NoPhase; p <= fault.Tunnel; p++ {
		if p.String() == name {
			return p
		}
	}
	return fault.NoPhase
}

func (p *pieceJSON) bytes() []byte {
	if p == nil {
		return nil
	}
	return p.Bytes
}

func octets(t text) []byte {
	if t == "" {
		return nil
	}
	return []byte(t)
}
