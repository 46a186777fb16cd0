package fault

// heading: the answer's head.
var heading = []Row{}
