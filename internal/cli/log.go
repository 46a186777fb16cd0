package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/gatewhy/gatewhy/internal/accesslog"
)

// pipeFlush is how long a line waits for others when standard output is a pipe:
// whoever follows it sees "now", and a busy gateway still writes in bulk.
const pipeFlush = 100 * time.Millisecond

// accessLog is where the lines go.
type accessLog struct {
	sink *accesslog.Sink // nil for off
	path string          // of the file, "" for standard output
	file *os.File
	form string
}

// openLog opens what a plan asks for.
func (e *env) openLog(f *plan) (*accessLog, error) {
	l := &accessLog{form: f.log, path: f.logFile}
	if l.form == "" {
		if l.form = "json"; e.outTTY && l.path == "" {
			l.form = "text"
		}
	}
	o := accesslog.SinkOptions{FlushEvery: accesslog.DefaultFlushEvery}
	if !(f.logSample >= 0 && f.logSample <= 1) {
		return nil, misused(fmt.Errorf("--log-sample %v: it is a share of good exchanges, from 0 to 1", f.logSample), "")
	}
	if f.logSample < 1 {
		o.Sample = f.logSample
		if o.Sample <= 0 {
			o.Sample = math.SmallestNonzeroFloat64 // none of the good ones
		}
	}
	switch l.form {
	case "off":
		return l, nil
	case "combined", "common", "template":
		o.Format, o.Events = accesslog.Templated, e.err
		switch l.form {
		case "combined":
			o.Template = accesslog.Combined
		case "common":
			o.Template = accesslog.Common
		default:
			t, err := accesslog.ParseTemplate(f.logTemplate)
			if err != nil {
				return nil, misused(fmt.Errorf("--log-template: %w", err), "")
			}
			o.Template = t
		}
	case "json":
		o.Format = accesslog.JSON
	case "text":
		o.Format = accesslog.Text
	default:
		return nil, misused(fmt.Errorf("--log %q: it must be text, json, combined, common, template or off", l.form), "")
	}
	if l.path != "" {
		file, err := openAppend(l.path)
		if err != nil {
			return nil, failed(fmt.Errorf("cannot write the access log: %w", err), "")
		}
		l.file = file
		l.sink = accesslog.NewSink(file, o)
		return l, nil
	}
	switch {
	case e.outTTY:
		o.FlushEvery = 0
		if o.Format == accesslog.Text && e.ink(true, f.plain).on {
			o.Format = accesslog.Color
		}
	case !regular(e.out):
		o.FlushEvery = pipeFlush
	}
	l.sink = accesslog.NewSink(e.out, o)
	return l, nil
}

func regular(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode().IsRegular()
}

// openAppend opens a log file. Its group may read it, as of other logs; it holds
// paths and client addresses, which are nobody else's business.
func openAppend(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// reopen opens the file of the same name anew: the old one was renamed.
func (l *accessLog) reopen() error {
	if l.file == nil {
		return nil
	}
	file, err := openAppend(l.path)
	if err != nil {
		return err
	}
	l.sink.Reopen(file)
	l.file.Close()
	l.file = file
	return nil
}

// flush writes what is left while the loops still run. They may end meanwhile,
// having written it themselves; ended tells.
func (l *accessLog) flush(ended <-chan struct{}) {
	if l.sink == nil {
		return
	}
	written := make(chan struct{})
	go func() { // ends when all is written, or with the process
		defer close(written)
		l.sink.Close()
	}()
	select {
	case <-written:
	case <-ended:
	case <-time.After(hurry):
	}
}

func (l *accessLog) close() {
	if l.file != nil {
		l.file.Close()
	}
}

func (l *accessLog) String() string {
	switch {
	case l.sink == nil:
		return "no access log"
	case l.path != "":
		return l.form + " log to " + l.path
	}
	return l.form + " log on standard output"
}
