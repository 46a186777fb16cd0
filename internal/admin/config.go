package admin

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewhy/gatewhy/internal/conf"
)

// mostConfig bounds a configuration that is put.
const mostConfig = conf.MaxFile

// openAPI describes what handler serves. A test holds the two against each other.
//
//go:embed openapi.json
var openAPI []byte

// Configuration is what is in force.
type Configuration struct {
	// File is where it was read from; "" where flags are all there is.
	File string
	// Tree is the configuration as somebody wrote it, and Full the one with every default.
	Tree, Full *conf.Node
}

// tag is an entity tag of a configuration (RFC 9110 §8.8.3): the same for all that mean
// the same.
func (c *Configuration) tag() (string, error) {
	b, err := json.Marshal(c.Full)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return `"` + hex.EncodeToString(sum[:8]) + `"`, nil
}

// configuration serves GET and PUT of /config.
func (c *Control) configuration(on func(pattern string, h http.HandlerFunc)) {
	if c.Config == nil {
		return
	}
	get := func(w http.ResponseWriter, r *http.Request) {
		now := c.Config()
		if now == nil {
			answer(w, http.StatusNotFound, problem{"there is no configuration: the settings are flags"})
			return
		}
		tag, err := now.tag()
		if err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		tree := now.Tree
		if ok, _ := strconv.ParseBool(r.URL.Query().Get("expanded")); ok {
			tree = now.Full
		}
		b, err := json.Marshal(tree)
		if err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			answer(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
		v, ok := at(v, strings.TrimPrefix(r.URL.Path, "/config"))
		if !ok {
			answer(w, http.StatusNotFound, problem{"the configuration has nothing at " + r.URL.Path})
			return
		}
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		answer(w, http.StatusOK, v)
	}
	on("GET /config", get)
	on("GET /config/{path...}", get)
	on("PUT /config", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostConfig))
		if err != nil {
			answer(w, http.StatusRequestEntityTooLarge, problem{fmt.Sprintf("a configuration has at most %d bytes", mostConfig)})
			return
		}
		match := r.Header.Get("If-Match")
		if match == "" {
			// RFC 6585 §3: whoever did not look cannot know what he replaces.
			answer(w, http.StatusPreconditionRequired, problem{"say in If-Match which configuration this replaces: the ETag of GET /config"})
			return
		}
		write, _ := strconv.ParseBool(r.URL.Query().Get("write"))
		done, reload := c.Put(text, write, func(now *Configuration) bool {
			tag, err := now.tag()
			return err == nil && (match == "*" || slices.Contains(strings.FieldsFunc(match, func(r rune) bool { return r == ',' || r == ' ' }), tag))
		})
		if !done {
			answer(w, http.StatusPreconditionFailed, problem{"another configuration is in force by now: look at GET /config again"})
			return
		}
		if reload.Done {
			if now := c.Config(); now != nil {
				if tag, err := now.tag(); err == nil {
					w.Header().Set("ETag", tag)
				}
			}
		}
		reloaded(w, &reload)
	})
}

// at goes down a path in a tree of JSON. A part of it may hold slashes, as a site's key
// with its scheme does: it is written with %2F, and comes here decoded, so the longest key
// that fits is taken.
func at(v any, path string) (any, bool) {
	path = strings.Trim(path, "/")
	if path == "" {
		return v, true
	}
	switch v := v.(type) {
	case map[string]any:
		for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '/') {
			if next, ok := v[path[:end]]; ok {
				if found, ok := at(next, path[end:]); ok {
					return found, true
				}
			}
		}
	case []any:
		part, rest, _ := strings.Cut(path, "/")
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(v) {
			return at(v[i], rest)
		}
	}
	return nil, false
}

// reloaded answers with what came of a configuration.
func reloaded(w http.ResponseWriter, r *Reload) {
	status := http.StatusOK
	switch {
	case r.Done:
	case r.Error != "":
		status = http.StatusConflict
	default:
		status = http.StatusUnprocessableEntity
	}
	// Programs get lists, never null.
	r.Changes, r.Problems = append([]string{}, r.Changes...), append([]conf.ProblemJSON{}, r.Problems...)
	answer(w, status, r)
}
