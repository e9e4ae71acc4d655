package web

import (
	"fmt"
	"math"
	"net/http"
	"time"
)

// fakeBuckets are how many of the kernel's there are, four to the octave from 2⁻²⁰ s.
const fakeBuckets = 110

var fakePhases = []string{"upload", "queue", "server", "send", "deliver"}

// phases splits a time as the synthetic services do.
func phases(total float64) obj {
	out := obj{}
	for i, share := range []float64{0.02, 0.08, 0.7, 0.05, 0.15} {
		out[fakePhases[i]] = total * share
	}
	return out
}

// tcprtServices are two servers and a client; one has markup in its name.
func tcprtServices() []obj {
	var out []obj
	for i, s := range []struct {
		name, role string
		port       int
		rate, p99  float64
	}{{"shop/web/nginx", "server", 443, 1840, 0.012}, {xssName, "server", 6379, 9200, 0.0004}, {"shop/web/nginx", "client", 5432, 610, 0.031}} {
		out = append(out, obj{
			"id": fmt.Sprintf("%s:%d@4026531840", s.role, s.port), "name": s.name, "role": s.role, "port": s.port, "netns": 4026531840, "names": obj{"pod": "web"},
			"requests": 1000 * (i + 1), "rate": s.rate, "failed": 0.002 * float64(i), "p50_seconds": s.p99 / 4, "p90_seconds": s.p99 / 2, "p99_seconds": s.p99,
			"phase_mean_seconds": phases(s.p99 / 4), "phase_p99_seconds": phases(s.p99), "rtt_seconds": 0.0002, "retransmits_per_second": 0.3, "connections": 40,
			"inflight": 2, "inflight_oldest_seconds": 1.5, "slow_seconds": s.p99, "overlap": 0,
		})
	}
	return out
}

// tcprtRequest is one of a connection of nginx.
func tcprtRequest(number int, total float64, at time.Time) obj {
	return obj{
		"time": at, "service": "server:443@4026531840", "name": "shop/web/nginx", "role": "server", "number": number, "local": "10.0.0.5:443", "remote": "10.0.0.9:40122", "netns": 4026531840,
		"pid": 811, "command": "nginx", "total_seconds": total, "phases_seconds": phases(total), "request_bytes": 412, "answer_bytes": 18211, "rtt_seconds": 0.0003, "min_rtt_seconds": 0.0002,
		"retransmits": number % 3, "flags": "piggyback", "protocol": "http", "method": "GET", "route": "/cart/{id}" + xssName, "status": "200",
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

// tcprt answers for the room of that name.
func (a *fakeAgent) tcprt(mux *http.ServeMux) {
	serve := func(path string, f func(r *http.Request) any) {
		mux.HandleFunc("GET /api/v1/tcprt/"+path, func(w http.ResponseWriter, r *http.Request) {
			if a.bare.Load() {
				reply(w, http.StatusServiceUnavailable, obj{"error": "request timing is not running"})
				return
			}
			reply(w, 200, f(r))
		})
	}
	serve("status", func(*http.Request) any {
		return obj{"tier": "full", "level": "all", "one_connection_of": 1, "cpu": 0.021, "cpu_kernel": 0.014, "by_service": tcprtServices()}
	})
	serve("anomalies", func(*http.Request) any {
		now := time.Now()
		return obj{"anomalies": []obj{
			{
				"id": 2, "service": "server:443@4026531840", "name": "shop/web/nginx", "role": "server", "port": 443, "start": now.Add(-40 * time.Second), "signal": "latency", "usual": 0.004, "now": 0.021,
				"score": 9, "cause": "cpu_throttled", "component": "container shop/web/nginx", "sure": 0.97, "shares": obj{"cpu_throttled": 0.8, "server": 0.2},
				"evidence": []string{"its cgroup was throttled in 61 % of its periods" + xssName}, "slowest": []obj{tcprtRequest(7, 0.021, now)},
			},
			{
				"id": 1, "service": "client:5432@4026531840", "name": "shop/web/nginx", "role": "client", "port": 5432, "start": now.Add(-20 * time.Minute), "end": now.Add(-18 * time.Minute),
				"signal": "retransmits", "usual": 0.001, "now": 0.03, "cause": "network_loss", "component": "subnet 10.0.7.0/24", "sure": 0.9, "evidence": []string{"3 % of its segments were sent again"},
			},
		}}
	})
	serve("slow", func(r *http.Request) any {
		if s := r.URL.Query().Get("service"); s != "" && s != "server:443@4026531840" {
			return obj{"requests": []obj{}}
		}
		var out []obj
		for i := range 12 {
			out = append(out, tcprtRequest(i, 0.004*float64(1+i%5), time.Now().Add(time.Duration(i-30)*time.Second)))
		}
		return obj{"requests": out}
	})
	serve("inflight", func(*http.Request) any {
		r := tcprtRequest(12, 1.5, time.Now())
		r["age_seconds"], r["state"] = 1.5, "waiting"
		return obj{"all": 1, "requests": []obj{r}}
	})
	serve("routes", func(*http.Request) any {
		var out []obj
		for i, route := range []string{"/cart/{id}", "/login", xssName} {
			out = append(out, obj{"service": "server:443@4026531840", "name": "shop/web/nginx", "role": "server", "port": 443, "protocol": "http", "method": "GET", "route": route, "status": "200",
				"requests": 900 - 200*i, "failed": i, "p50_seconds": 0.004, "p99_seconds": 0.02, "longest_seconds": 0.05})
		}
		return obj{"l7": "verbs", "records": "all", "routes": out}
	})
	serve("history", func(*http.Request) any {
		var bounds []float64
		for i := range fakeBuckets - 1 {
			bounds = append(bounds, math.Exp2(float64(i)/4-20))
		}
		var points []obj
		for i := range 180 {
			total := 0.004 + 0.003*math.Sin(float64(i)/20)
			var means []float64
			for _, p := range fakePhases {
				means = append(means, phases(total)[p].(float64))
			}
			points = append(points, obj{
				"time": time.Now().Add(time.Duration(i-180) * 5 * time.Second).UnixMilli(), "rate": 1800 + 200*math.Cos(float64(i)/9), "failed": 0, "retransmits": 0, "p50_seconds": total, "p99_seconds": 3 * total,
				"phase_mean_seconds": means, "heat": [][2]int{{40 + i%7, 30}, {48, 200}, {56, 3}},
			})
		}
		return obj{"phases": fakePhases, "bounds_seconds": bounds, "points": points}
	})
}
