package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
)

// attempt bounds one try to send, patience all of them together.
const (
	attempt  = 10 * time.Second
	patience = time.Minute
	firstGap = time.Second
	mostGap  = 30 * time.Second
	mostBody = 1 << 20 // of an answer
)

// client posts messages to a collector.
type client struct {
	http    http.Client
	base    string
	headers map[string]string
	gap     time.Duration // before the second try
}

// CheckEndpoint says what is wrong with a collector's URL.
func CheckEndpoint(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return fmt.Errorf("endpoint %q is no URL, want such as http://localhost:4318", s)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("endpoint is %q, want http:// or https:// and a host, as http://localhost:4318", s)
	case u.Port() == "4317":
		return fmt.Errorf("endpoint is %q, whose port is that of OTLP over gRPC; want the one over HTTP, 4318 as a rule", s)
	case u.User != nil:
		return errors.New("endpoint has a name or a password in it; put them into headers, as Authorization")
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("endpoint is %q, want it without what follows ? or #", s)
	}
	return nil
}

// CheckHeaders says what is wrong with the headers of messages.
func CheckHeaders(headers map[string]string) error {
	for name, value := range headers {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return fmt.Errorf("headers has %q, which is no name of a header", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fmt.Errorf("the value of header %s has a control character", name)
		}
	}
	return nil
}

func newClient(endpoint string, headers map[string]string) (*client, error) {
	if err := errors.Join(CheckEndpoint(endpoint), CheckHeaders(headers)); err != nil {
		return nil, err
	}
	c := &client{base: strings.TrimRight(endpoint, "/"), headers: maps.Clone(headers), gap: firstGap}
	c.http.Timeout = attempt
	return c, nil
}

// statusError is an answer that is no success.
type statusError struct {
	code  int
	after time.Duration // that the collector asked to wait
	text  string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the collector answered %d %s", e.code, http.StatusText(e.code))
	if e.text != "" {
		text += ": " + e.text
	}
	return text
}

// again says whether the same may be sent once more, by the specification.
func again(err error) (after time.Duration, yes bool) {
	var s *statusError
	if !errors.As(err, &s) {
		return 0, true // it was not reached
	}
	return s.after, slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, s.code)
}

// post sends a message and reads the answer into reply; it tries again for a minute,
// or as long as ctx lets it.
func (c *client) post(ctx context.Context, path string, m, reply proto.Message) error {
	raw, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode for the collector: %w", err)
	}
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if _, err := z.Write(raw); err != nil {
		return fmt.Errorf("compress for the collector: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress for the collector: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for gap := c.gap; ; gap = min(2*gap, mostGap) {
		err := c.once(ctx, path, body.Bytes(), reply)
		if err == nil {
			return nil
		}
		after, yes := again(err)
		if !yes {
			return fmt.Errorf("send to %s%s: %w", c.base, path, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("send to %s%s: %w", c.base, path, err)
		case <-time.After(max(after, gap/2+rand.N(gap/2+1))):
		}
	}
}

func (c *client) once(ctx context.Context, path string, body []byte, reply proto.Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range c.headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("User-Agent", "anole")
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostBody))
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		e := &statusError{code: res.StatusCode}
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
			e.after = time.Duration(min(s, int(patience/time.Second))) * time.Second
		}
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			e.text = strings.TrimSpace(string(answer[:min(len(answer), 200)]))
		}
		return e
	}
	if res.Header.Get("Content-Type") != "application/x-protobuf" { // an empty answer is one too
		return nil
	}
	if err := proto.Unmarshal(answer, reply); err != nil {
		return &statusError{code: res.StatusCode, text: "with something that is no protobuf"}
	}
	return nil
}
