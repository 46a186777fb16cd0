package lab

import (
	"strings"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/message"
	"github.com/gatewhy/gatewhy/internal/wire/h1"
)

// verdict is what the codec alone says of a message: the first flaw that it
// refuses, else the first that it mends.
type verdict struct {
	refused bool
	flaw    h1.Flaw
	at      int64
}

// judge reads one message, head and body.
func judge(kind h1.Kind, raw string, toHEAD bool, l *h1.Limits) verdict {
	allow := h1.AllowResponse
	if kind == h1.Request {
		allow = h1.AllowRequest
	}
	var p h1.Parser
	var h message.Head
	p.Init(kind, l, allow)
	n, err := p.Parse([]byte(raw), &h)
	if err.Ok() && n == 0 {
		if err = p.End([]byte(raw)); err.Ok() {
			return verdict{} // incomplete
		}
	}
	if !err.Ok() {
		return verdict{true, err.Flaw, err.At}
	}
	var f message.Framing
	if kind == h1.Request {
		f, err = h1.FrameRequest(&p, &h)
	} else {
		f, err = h1.FrameResponse(&p, &h, toHEAD)
	}
	if !err.Ok() {
		return verdict{true, err.Flaw, err.At}
	}
	var d h1.Decoder
	d.Init(f, l, allow)
	for in := []byte(raw[n:]); !d.Done(); {
		_, used, err := d.Next(in)
		if !err.Ok() {
			return verdict{true, err.Flaw, err.At}
		}
		if in = in[used:]; used == 0 {
			break
		}
	}
	for _, r := range append(append([]h1.Error(nil), p.Repairs()...), d.Repairs()...) {
		return verdict{false, r.Flaw, r.At}
	}
	return verdict{}
}

// flaws are the flaws that each fault of an answer may come from.
var flaws = map[fault.ID][]h1.Flaw{
	fault.HTTP09: {h1.NotHTTP}, fault.ForeignBanner: {h1.NotHTTP}, fault.TLSOnPlainPort: {h1.NotHTTP}, fault.H2OnH1: {h1.NotHTTP},
	fault.StatusLeadingBlank: {h1.LeadingBlank}, fault.StatusLeadingBOM: {h1.LeadingBOM}, fault.StatusLeadingJunk: {h1.LeadingJunk},
	fault.StatusVersionName: {h1.VersionName}, fault.StatusVersionUnsupported: {h1.VersionUnsupported},
	fault.StatusVersionMalformed: {h1.VersionMalformed}, fault.StatusSpacing: {h1.StatusSpacing},
	fault.StatusCodeLength: {h1.StatusCodeLength}, fault.StatusCodeNondigit: {h1.StatusCodeNonDigit},
	fault.StatusCodeRange: {h1.StatusCodeRange}, fault.StatusReasonChars: {h1.ReasonChars}, fault.StatusLineTooLong: {h1.StartLineTooLong},
	fault.HeadBareLF: {h1.BareLF}, fault.HeadBareCR: {h1.BareCR}, fault.HeaderNUL: {h1.NUL}, fault.HeaderCtl: {h1.Control},
	fault.HeaderObsFold: {h1.ObsFold}, fault.HeaderFoldFirst: {h1.FoldFirst}, fault.HeaderSpaceBeforeColon: {h1.SpaceBeforeColon},
	fault.HeaderNameEmpty: {h1.NameEmpty}, fault.HeaderNoColon: {h1.NoColon}, fault.HeaderNameBadChar: {h1.NameChar},
	fault.HeaderLineTooLong: {h1.FieldTooLong}, fault.HeaderSectionTooLarge: {h1.SectionTooLarge}, fault.HeaderTooMany: {h1.TooManyFields},
	fault.HeaderSingletonDuplicate: {h1.SingletonDuplicate}, fault.ConnectionOptionAbuse: {h1.ConnectionAbuse},
	fault.InterimBad: {h1.FramingForbidden}, fault.BodyForbiddenFraming: {h1.FramingForbidden},
	fault.CLInvalid: {h1.LengthInvalid}, fault.CLEmpty: {h1.LengthEmpty}, fault.CLOverflow: {h1.LengthOverflow},
	fault.CLListSame: {h1.LengthListSame}, fault.CLDuplicateSame: {h1.LengthDuplicateSame}, fault.CLConflict: {h1.LengthConflict},
	fault.CLAndTE: {h1.LengthAndCoding}, fault.TEUnknown: {h1.CodingUnknown, h1.Control}, fault.TEChunkedNotFinal: {h1.CodingNotFinal},
	fault.TEDuplicateLine: {h1.CodingDuplicate}, fault.TEOnHTTP10: {h1.CodingOn10},
	fault.ChunkSizeInvalid: {h1.ChunkSizeInvalid}, fault.ChunkSizeOverflow: {h1.ChunkSizeOverflow},
	fault.ChunkLineBareLF: {h1.ChunkLineBareLF}, fault.ChunkLineCR: {h1.ChunkLineCR}, fault.ChunkLineTooLong: {h1.ChunkLineTooLong},
	fault.ChunkDataOverrun: {h1.ChunkDataOverrun}, fault.TrailerMalformed: {h1.TrailerMalformed},
	fault.TrailerForbidden: {h1.TrailerForbidden}, fault.TrailerTooLarge: {h1.TrailerTooLarge},

	fault.RequestLineMalformed:      {h1.MethodChar, h1.RequestSpacing, h1.VersionMalformed, h1.VersionName, h1.BareLF},
	fault.RequestTargetInvalid:      {h1.TargetChar, h1.TargetForm},
	fault.RequestVersionUnsupported: {h1.VersionUnsupported},
	fault.RequestHeaderMalformed:    {h1.BareLF, h1.BareCR, h1.NUL, h1.Control, h1.ObsFold, h1.FoldFirst, h1.SpaceBeforeColon, h1.NameEmpty, h1.NoColon, h1.NameChar},
	fault.RequestFramingAmbiguous:   {h1.LengthAndCoding, h1.LengthConflict, h1.LengthDuplicateSame, h1.LengthListSame, h1.CodingDuplicate, h1.CodingOn10, h1.CodingNotFinal},
	fault.RequestLengthInvalid:      {h1.LengthInvalid, h1.LengthOverflow, h1.LengthEmpty},
	fault.RequestCodingUnknown:      {h1.CodingUnknown},
	fault.RequestHostInvalid:        {h1.HostMissing, h1.HostDuplicate, h1.HostInvalid},
	fault.RequestTargetTooLong:      {h1.TargetTooLong},
	fault.RequestHeaderTooLarge:     {h1.FieldTooLong, h1.SectionTooLarge, h1.TooManyFields},
	fault.RequestBodyBroken:         {h1.ChunkSizeInvalid, h1.ChunkLineBareLF, h1.ChunkDataOverrun},
	fault.RequestExpectationUnknown: {h1.ExpectUnknown},
}

// What a recipe expects of a message's bytes is what the codec finds in them, at
// the same offset.
func TestExpectationsAgreeWithTheCodec(t *testing.T) {
	asked := 0
	for _, r := range everything() {
		kind, raw, l := h1.Response, r.Answer, h1.DefaultResponse
		if strings.HasPrefix(string(r.Want), "request_") && len(r.Pieces) == 0 {
			kind, raw, l = h1.Request, r.Requested("localhost:80"), h1.DefaultRequest
		}
		want := r.Fault()
		if want == fault.RequestNotHTTP {
			if h1.Sniff([]byte(raw)) == "" {
				t.Errorf("%s: the codec does not know %.20q", r.Name, raw)
			}
			continue
		}
		if raw == "" || flaws[want] == nil || r.Client == CloseWrite || r.Frames != "" {
			continue
		}
		if r.Set["max-line"] != "" {
			l.Field = 8192
		}
		if r.Set["max-fields"] != "" {
			l.Fields = 100
		}
		asked++
		v := judge(kind, raw, r.Method() == "HEAD", &l)
		if v.refused != (r.Want != "") {
			t.Errorf("%s: refused %t, want %t (%v at %d)", r.Name, v.refused, r.Want != "", v.flaw, v.at)
			continue
		}
		found := false
		for _, f := range flaws[want] {
			found = found || f == v.flaw
		}
		if !found || r.Offset >= 0 && v.at != r.Offset {
			t.Errorf("%s: %v at %d, want %v at %d", r.Name, v.flaw, v.at, flaws[want], r.Offset)
		}
	}
	if asked < 150 {
		t.Errorf("only %d recipes could be asked", asked)
	}
}
