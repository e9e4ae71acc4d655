package module

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/anole-os/anole/core"
)

// ask sends a request to the agent and decodes its answer into v.
func ask(ctx context.Context, method, path string, query url.Values, body []byte, v any) error {
	return core.EnvFrom(ctx).Ask(ctx, method, "qos/"+path, query, body, v)
}

// stream sends a request to the agent whose answer does not end by itself.
func stream(ctx context.Context, path string) (io.ReadCloser, error) {
	return core.EnvFrom(ctx).Send(ctx, http.MethodGet, "qos/"+path, nil, nil)
}
