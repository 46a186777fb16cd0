//go:build !unix

package cli

import "os"

// keepOwner does nothing: there are no such owners here.
func keepOwner(*os.File, os.FileInfo) error { return nil }
