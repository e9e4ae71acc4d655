package containers

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// image is the name of the one image: a busybox, for sandboxes too.
const image = "localhost/anole/busybox:test"

// imageTar makes an OCI image layout (image-layout.md of the OCI image spec)
// with one layer that holds a static busybox, as a tar that ctr imports.
func imageTar(t *testing.T, busybox string) string {
	t.Helper()
	prog, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, d := range []string{"bin/", "tmp/", "etc/", "proc/", "sys/", "dev/"} {
		put(t, w, &tar.Header{Name: d, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	put(t, w, &tar.Header{Name: "bin/busybox", Mode: 0o755}, prog)
	for _, name := range []string{"sh", "cat", "sleep", "true"} {
		put(t, w, &tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
	}
	finish(t, w)

	l := blobs{}
	diff := l.add(layer.Bytes())
	config := l.addJSON(t, map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{diff}},
		"config": map[string]any{"Entrypoint": []string{"/bin/busybox"}, "Cmd": []string{"sleep", "100000"}, "Env": []string{"PATH=/bin"}},
	})
	manifest := l.addJSON(t, map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": l.of("application/vnd.oci.image.config.v1+json", config),
		"layers": []any{l.of("application/vnd.oci.image.layer.v1.tar", diff)},
	})
	desc := l.of("application/vnd.oci.image.manifest.v1+json", manifest)
	desc["annotations"] = map[string]string{"io.containerd.image.name": image}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{desc}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w = tar.NewWriter(&out)
	put(t, w, &tar.Header{Name: "oci-layout", Mode: 0o644}, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	put(t, w, &tar.Header{Name: "index.json", Mode: 0o644}, index)
	for digest, b := range l {
		put(t, w, &tar.Header{Name: "blobs/sha256/" + digest[len("sha256:"):], Mode: 0o644}, b)
	}
	finish(t, w)
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func put(t *testing.T, w *tar.Writer, h *tar.Header, b []byte) {
	t.Helper()
	h.Size = int64(len(b))
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
}

func finish(t *testing.T, w *tar.Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// blobs is content by digest.
type blobs map[string][]byte

func (l blobs) add(b []byte) string {
	sum := sha256.Sum256(b)
	d := "sha256:" + hex.EncodeToString(sum[:])
	l[d] = b
	return d
}

func (l blobs) addJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return l.add(b)
}

func (l blobs) of(mediaType, digest string) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest, "size": len(l[digest])}
}
