package trail

import (
	"reflect"
	"testing"

	"github.com/gatewhy/gatewhy/fault"
)

// Reset clears field by field for speed, so a new field is easily forgotten.
func TestResetClearsEveryField(t *testing.T) {
	var x Trail
	fill(reflect.ValueOf(&x).Elem())
	x.N, x.NNotice = MaxAttempts, MaxNotices
	x.Reset()
	if !reflect.ValueOf(x).IsZero() {
		t.Errorf("Reset left something: %+v", x)
	}
}

// fill sets every field to something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(1)
	default:
		v.SetInt(1)
	}
}

func TestNoteKeepsWhatFits(t *testing.T) {
	var x Trail
	for i := range MaxNotices + 3 {
		x.Note(fault.HeadBareLF, int64(i), 0)
	}
	if len(x.Receipts()) != MaxNotices || x.NNotice != MaxNotices+3 || x.Receipts()[MaxNotices-1].At != MaxNotices-1 {
		t.Errorf("kept %d of %d, last %v", len(x.Receipts()), x.NNotice, x.Receipts()[len(x.Receipts())-1])
	}
}

func TestEffect(t *testing.T) {
	undelivered := fault.New(fault.ReuseRaceFIN, "delivered", "none")
	tests := []struct {
		name             string
		attempts         []Attempt
		safe, idempotent bool
		want             Effect
	}{
		{"no attempt", nil, false, false, NotSent},
		{"refused", []Attempt{{Fault: fault.New(fault.ConnectRefused)}}, false, false, NotSent},
		{"sent, proven undelivered", []Attempt{{BytesSent: 9, Fault: undelivered}}, false, false, NotSent},
		{"sent, GET", []Attempt{{BytesSent: 9, Fault: fault.New(fault.HeadEOFEmpty)}}, true, true, Harmless},
		{"sent, PUT", []Attempt{{BytesSent: 9, Fault: fault.New(fault.HeadEOFEmpty)}}, false, true, Repeat},
		{"sent, POST", []Attempt{{BytesSent: 9, Fault: fault.New(fault.HeadEOFEmpty)}}, false, false, Unknown},
		{"undelivered, then sent, POST", []Attempt{{BytesSent: 9, Fault: undelivered}, {BytesSent: 9, Fault: fault.New(fault.HeadEOFEmpty)}},
			false, false, Unknown},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			x := Trail{N: len(c.attempts)}
			copy(x.Attempts[:], c.attempts)
			if got := x.Effect(c.safe, c.idempotent); got != c.want {
				t.Errorf("effect %d, want %d", got, c.want)
			}
		})
	}
}
