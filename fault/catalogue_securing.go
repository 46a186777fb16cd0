package fault

// securing: TLS to the upstream.
var securing = []Row{}
