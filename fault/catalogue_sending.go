package fault

// sending: sending the request, and the pooled connection.
var sending = []Row{}
