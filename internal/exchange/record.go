package exchange

import "github.com/gatewhy/gatewhy/fault"

// record finishes the trail and hands it to the log and to the incidents.
func (x *Exchange) record() {
	t := &x.Trail
	if t.Ended == 0 {
		t.Ended = x.Stamp()
	}
	if x.Request.Head.Raw != nil {
		t.In = x.Client.Taken() + x.tunnelled
	}
	if t.Fault != nil {
		t.Rescued = x.reply.whole && t.Status != 0 && t.Status < 500 && !t.Cut && t.Fault.Row().Side != fault.Client && x.rescued()
		x.nameIncident()
		if x.Opts.Incidents != nil {
			x.Opts.Incidents.Keep(t)
		}
	}
	x.server.counters.Record(t)
	if x.server.log != nil {
		x.server.log.Write(t, &x.Request.Head)
	}
	if x.server.spans != nil {
		x.server.spans.Write(t, &x.Request.Head)
	}
	if x.Opts.Observe != nil {
		x.Opts.Observe(t)
	}
}

// rescued reports whether the last attempt succeeded although an earlier one failed.
func (x *Exchange) rescued() bool {
	t := &x.Trail
	return t.N > 0 && t.Attempts[t.N-1].Fault == nil
}
