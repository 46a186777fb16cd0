package fault

// framing: the answer's framing and body.
var framing = []Row{}
