package explain

import (
	"github.com/gatewhy/gatewhy/fault"
	"github.com/gatewhy/gatewhy/internal/trail"
)

// language is all that end users read, in one language. Another one is another
// value of this type.
type language struct {
	Tag   string // BCP 47
	class map[who]sentences
	other sentences // for a class without words of its own

	You, Gateway, Application string // the three parties
	Working, NotAsked, Where  string
	Effect                    [4]string // by trail.Effect: what became of the request
	Safe                      string    // said behind it where trying again helps and does no harm
	Again, Pointless, Change  string    // whether to try again
	DoRetry, DoWait           string    // the same in a few words
	DoChange, DoCheck         string
	Tried                     string // with %d
	Incident, Quote, Ask      string
}

// who finds sentences: those of a class and side if there are any, else those of
// the class alone.
type who struct {
	class fault.Class
	side  fault.Side
}

// sentences tell of one class of faults.
type sentences struct {
	Short   string // a title, without full stop
	Heading string // of the page
	Told    string // what happened, for somebody who knows no HTTP
	Mark    string // two words beside the party at fault
}

func (l *language) of(r *fault.Row) *sentences {
	if s, ok := l.class[who{r.Class, r.Side}]; ok {
		return &s
	}
	if s, ok := l.class[who{r.Class, fault.NoSide}]; ok {
		return &s
	}
	return &l.other
}

var english = language{
	Tag: "en", You: "You", Gateway: "Gateway", Application: "Application",
	Working: "working", NotAsked: "not asked", Where: "Where it broke",
	Effect: [4]string{
		trail.NotSent:  "Nothing you sent was processed.",
		trail.Harmless: "Your request asked for no change.",
		trail.Repeat:   "Your request may have been processed; twice would have the same effect as once.",
		trail.Unknown:  "We do not know whether your order went through: check before sending it again.",
	},
	Safe:      "It is safe to try again.",
	Again:     "Trying again in a moment may help.",
	Pointless: "Trying again now will probably not help.",
	Change:    "Sending the same request again will not help: it has to be changed first.",
	DoRetry:   "Try again in a moment.",
	DoWait:    "Come back later; the owner can look up this number.",
	DoChange:  "Change the request before sending it again.",
	DoCheck:   "Check whether it went through before sending it again.",
	Tried:     "We tried %d times.",
	Incident:  "incident", Quote: "Quote the incident number when you write to", Ask: "Quote the incident number when you ask for help.",
	other: sentences{"No good answer", "This page could not be fetched",
		"We received your request, but it could not be completed.", "failed"},
	class: map[who]sentences{
		{fault.ClassBadRequest, fault.NoSide}: {"Bad request", "Your request could not be understood",
			"What your browser or program sent cannot be served: it breaks the rules of HTTP or a limit of this site.", "bad request"},
		{fault.ClassNotHere, fault.NoSide}: {"Nothing here", "There is nothing at this address",
			"Your connection is fine and we received your request. There is nothing here at the address that you asked for.", "not found"},
		{fault.ClassUnreachable, fault.NoSide}: {"Application cannot be reached", "The application cannot be reached",
			"Your connection is fine and we received your request. The application behind this site could not be reached.", "out of reach"},
		{fault.ClassNoAnswer, fault.NoSide}: {"No answer from the application", "The application gave no answer",
			"Your connection is fine and we received your request. The application behind this site hung up before its answer was complete.", "hung up"},
		{fault.ClassTooSlow, fault.NoSide}: {"Application too slow", "The application is taking too long",
			"Your connection is fine and we received your request. The application behind this site did not answer in time.", "too slow"},
		{fault.ClassTooSlow, fault.Client}: {"Request too slow", "Your request took too long to arrive",
			"We waited for the rest of your request, but it did not come in time. Your connection may be slow or interrupted.", "too slow"},
		{fault.ClassTooSlow, fault.Gateway}: {"Out of time", "This took too long",
			"Your connection is fine and we received your request, but time ran out before it could be answered.", "out of time"},
		{fault.ClassBadAnswer, fault.NoSide}: {"Bad answer from the application", "The application is not answering properly",
			"Your connection is fine and we received your request. The application behind this site sent an answer that could not be passed on.", "bad answer"},
		{fault.ClassInsecure, fault.NoSide}: {"Application not trusted", "The application could not be trusted",
			"Your own connection to this site is fine. Behind it, no secure connection to the application could be made.", "not trusted"},
		{fault.ClassOurFault, fault.NoSide}: {"Fault of the gateway", "Something went wrong at our end",
			"Your connection is fine and we received your request, but this gateway could not handle it.", "failed"},
		{fault.ClassBusy, fault.NoSide}: {"Too busy", "There is too much to do right now",
			"Your connection is fine and we received your request, but this site has more of them than it can handle at the moment.", "too busy"},
	},
}
