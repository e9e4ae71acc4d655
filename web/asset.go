package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// asset is one file, held in memory with its hash, and compressed when it is
// first asked for.
type asset struct {
	body []byte
	kind string // Content-Type
	hash string // hex, of body
	gz   func() []byte
}

func newAsset(name string, body []byte) *asset {
	sum := sha256.Sum256(body)
	a := &asset{body: body, kind: contentType(name), hash: hex.EncodeToString(sum[:12])}
	a.gz = sync.OnceValue(func() []byte { return compress(body) })
	return a
}

// ServeHTTP answers with the file, compressed for those who take it, or with
// 304 when the caller has it. Browsers keep it and ask each time, so a new
// agent's console appears without a forced reload.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept-Encoding")
	body, tag := a.body, `"`+a.hash+`"`
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		if gz := a.gz(); len(gz) < len(body) {
			body, tag = gz, `"`+a.hash+`-gz"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", tag)
	if hasTag(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the peer went away: nobody left to tell
}

// load reads every regular file below root into files, keyed by its URL path.
// What cannot be read is left out.
func load(files map[string]*asset, from fs.FS, root, prefix string) {
	_ = fs.WalkDir(from, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		body, err := fs.ReadFile(from, p)
		if err != nil {
			return nil
		}
		if root != "." {
			p = strings.TrimPrefix(p, root+"/")
		}
		files[prefix+p] = newAsset(p, body)
		return nil
	})
}

// contentType goes by the file's extension alone. The table is here, and not
// the mime package's, because that one depends on what the node has installed.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".json":
		return "application/json"
	case ".woff2":
		return "font/woff2"
	default:
		return "text/plain; charset=utf-8"
	}
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil { // the level is a constant
		panic(err)
	}
	_, _ = z.Write(body) // a bytes.Buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3) as far as gzip goes.
func acceptsGzip(values []string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			coding, params, _ := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return !ok || (err == nil && weight > 0)
		}
	}
	return false
}

// hasTag reads If-None-Match (RFC 9110, 13.1.2): weak comparison, or "*".
func hasTag(values []string, tag string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			item = strings.TrimSpace(item)
			if item == "*" || strings.TrimPrefix(item, "W/") == tag {
				return true
			}
		}
	}
	return false
}
