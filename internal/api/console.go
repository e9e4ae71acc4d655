package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

// csp is for answers of the API, which are no pages. The files of SetWeb set
// their own.
const csp = "default-src 'none'; frame-ancestors 'none'"

// Console gives the handler for the console's TCP port: the files of SetWeb,
// and the API without anything that changes the node. names are accepted in
// the Host header beside localhost and the address of the connection itself.
func (s *Server) Console(names []string) http.Handler {
	allowed := map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}
	for _, n := range names {
		allowed[strings.ToLower(n)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !hostAllowed(r, allowed) {
			writeError(w, codeHost, "this name in the Host header is not known here; list it in agent.console.names")
			return
		}
		s.console(w, r)
	})
}

func (s *Server) console(w http.ResponseWriter, r *http.Request) {
	if !isAPI(r.URL.Path) {
		if web := s.web.Load(); web != nil {
			(*web).ServeHTTP(w, r)
			return
		}
		notFound(w, r)
		return
	}
	if !readOnly(r) {
		writeError(w, codeReadOnly, "the console's port is read-only; use the agent's unix socket")
		return
	}
	if h := s.find(w, r); h != nil {
		gzhttp.GzipHandler(h).ServeHTTP(w, r)
	}
}

func isAPI(path string) bool {
	return strings.HasPrefix(path, "/api/") || path == "/metrics" || path == "/healthz"
}

// readOnly accepts GET and HEAD, and POST on the Prometheus query API, where
// it carries a long query and changes nothing.
func readOnly(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	name, _ := strings.CutPrefix(r.URL.Path, "/api/v1/")
	name, _, _ = strings.Cut(name, "/")
	return r.Method == http.MethodPost && historyPaths[name] && name != "status" &&
		http.NewCrossOriginProtection().Check(r) == nil
}

// hostAllowed is the defence against DNS rebinding: a hostile page can make
// its own name resolve to this machine, but not change the name.
func hostAllowed(r *http.Request, allowed map[string]bool) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(host), "["), "]")
	if allowed[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	ap, err := netip.ParseAddrPort(local.String())
	return err == nil && ap.Addr().Unmap() == ip.Unmap()
}
