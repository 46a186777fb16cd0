package loop

// Part says that what is sent on s from now on is the last, and that Close follows
// as soon as it was taken. Where an engine can, the end of the stream leaves in one
// packet with the last bytes, which may wait for it, for a fifth of a second at
// most. Only for peers that send nothing more: input that nobody has read when a
// socket is closed resets the connection, and what waits is lost with it.
func Part(s Stream) {
	if p, ok := s.(parting); ok {
		p.part()
	}
}

type parting interface{ part() }
