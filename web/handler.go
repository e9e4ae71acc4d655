package web

import (
	"cmp"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"slices"
)

//go:embed static
var static embed.FS

// Panel is a room's page in the console: an ES module panel.js at the root of
// FS that exports mount(element, kit) and returns an unmount function.
type Panel struct {
	ID    string // the room's name; the panel lives at /panels/<ID>/ and #/<ID>
	Title string // the tab's text
	Order int    // lower is further left; equal orders go by ID
	FS    fs.FS  // read once, by Handler
}

// csp forbids everything that is not a file of this origin: no other host, no
// inline script, no inline style, no framing. Trusted Types take away the
// string-to-markup doors (innerHTML and its kin), so that a workload's name
// cannot become markup even by a mistake in a panel.
const csp = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// Handler serves the console: / and /static/* (the shell), /panels.json (the
// list of panels in tab order) and /panels/<id>/* (each panel's files). It
// knows nothing of /api/, which the caller serves beside it.
//
// All files are read here, once; a panel whose FS cannot be read answers 404,
// and the shell says so in its tab. The handler is safe for concurrent use.
func Handler(panels []Panel) http.Handler {
	files := map[string]*asset{}
	load(files, static, "static", "/static/")
	index := files["/static/index.html"]
	delete(files, "/static/index.html")
	files["/"] = index

	panels = slices.Clone(panels)
	slices.SortFunc(panels, func(a, b Panel) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID, b.ID))
	})
	for _, p := range panels {
		if p.FS != nil {
			load(files, p.FS, ".", "/panels/"+p.ID+"/")
		}
	}
	files["/panels.json"] = newAsset("panels.json", listing(panels))
	return console(files)
}

// console maps a URL path to its file. Looking up a map is what refuses path
// traversal: a path is a key or nothing.
type console map[string]*asset

func (c console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	a, ok := c[r.URL.Path]
	if !ok {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	a.ServeHTTP(w, r)
}

// listing is the body of /panels.json.
func listing(panels []Panel) []byte {
	type entry struct {
		ID    string `json:"id"`
		Title string `json:"title"`
	}
	out := struct {
		Panels []entry `json:"panels"`
	}{Panels: []entry{}}
	for _, p := range panels {
		out.Panels = append(out.Panels, entry{p.ID, p.Title})
	}
	b, err := json.Marshal(out)
	if err != nil { // two strings always encode
		panic(err)
	}
	return b
}
