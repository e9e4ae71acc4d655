package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// errCorrupt marks damage that the database cannot live with or would hide.
var errCorrupt = errors.New("corrupted")

// ulidLen is the length of a block directory's name (a ULID in base 32).
const ulidLen = 26

// verify looks for damage before the database does, because the database skips
// blocks whose meta.json it cannot read and cuts its log at the first bad record
// without telling its caller. It returns an error wrapping errCorrupt for damage,
// other errors for an unusable disk. torn reports that the log ends within a
// record, as a crash leaves it: the database drops that record and goes on.
func verify(dir string) (torn bool, err error) {
	if err := verifyBlocks(dir); err != nil {
		return false, err
	}
	for _, log := range []string{"wal", wlog.WblDirName} {
		t, err := verifyLog(filepath.Join(dir, log))
		if err != nil {
			return false, err
		}
		torn = torn || t
	}
	return torn, nil
}

// verifyBlocks checks every block's meta.json. Blocks appear by rename, so a
// block without a good one is no crash's leftover.
func verifyBlocks(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list history: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || !isBlockName(e.Name()) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name(), "meta.json"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("read block %s: %w", e.Name(), err)
		}
		if err := verifyMeta(raw, e.Name()); err != nil {
			return fmt.Errorf("%w: block %s: %w", errCorrupt, e.Name(), err)
		}
	}
	return nil
}

func isBlockName(name string) bool {
	return len(name) == ulidLen && strings.Trim(name, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

func verifyMeta(raw []byte, name string) error {
	var m tsdb.BlockMeta
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("read meta.json: %w", err)
	}
	if m.Version != 1 {
		return fmt.Errorf("read meta.json: version %d", m.Version)
	}
	if m.ULID.String() != name {
		return fmt.Errorf("read meta.json: it belongs to block %s", m.ULID)
	}
	if m.MinTime > m.MaxTime {
		return fmt.Errorf("read meta.json: time range [%d, %d]", m.MinTime, m.MaxTime)
	}
	return nil
}

// verifyLog reads every record of a write-ahead log and its checkpoint.
func verifyLog(dir string) (torn bool, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if info, serr := os.Stat(dir); serr == nil && !info.IsDir() {
		return false, fmt.Errorf("%w: %s is not a directory", errCorrupt, filepath.Base(dir))
	}
	if err != nil {
		return false, fmt.Errorf("list log: %w", err)
	}
	checkpoint, _, err := wlog.LastCheckpoint(dir)
	if err == nil {
		// A checkpoint appears by rename, so even its end must be whole.
		t, err := verifySegments(checkpoint)
		if err != nil {
			return false, err
		}
		if t {
			return false, fmt.Errorf("%w: %s is cut short", errCorrupt, filepath.Base(checkpoint))
		}
	}
	if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return isSegmentName(e.Name()) }) {
		return false, nil
	}
	return verifySegments(dir)
}

func isSegmentName(name string) bool {
	_, err := strconv.Atoi(name)
	return err == nil
}

// verifySegments reads the segments of dir. Only the last one that has content
// may be torn: the process that wrote it is the one that died.
func verifySegments(dir string) (torn bool, err error) {
	first, last, err := wlog.Segments(dir)
	if err != nil {
		return false, fmt.Errorf("%w: list segments of %s: %w", errCorrupt, filepath.Base(dir), err)
	}
	tornAt := -1
	for i := max(first, 0); i <= last; i++ {
		records, t, err := verifySegment(wlog.SegmentName(dir, i))
		if err != nil {
			return false, fmt.Errorf("%s segment %d: %w", filepath.Base(dir), i, err)
		}
		if tornAt >= 0 && records > 0 {
			return false, fmt.Errorf("%w: %s segment %d is cut short but %d follows", errCorrupt, filepath.Base(dir), tornAt, i)
		}
		if t {
			tornAt = i
		}
	}
	return tornAt >= 0, nil
}

func verifySegment(path string) (records int, torn bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, fmt.Errorf("%w: it is missing", errCorrupt)
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	r := wlog.NewReader(bufio.NewReaderSize(f, logPage))
	for r.Next() {
		records++
	}
	err = r.Err()
	switch {
	case err == nil && (records > 0 || startsRecord(f)):
		return records, false, nil
	case err == nil:
		// The reader takes an end of file behind a header for the end of the log.
		return 0, false, fmt.Errorf("%w: it holds no record", errCorrupt)
	case environment(err):
		return records, false, err
	case info.Size()-r.Offset() <= logPage && (records > 0 || startsRecord(f)):
		return records, true, nil
	}
	return records, false, fmt.Errorf("%w: %w", errCorrupt, err)
}

// logPage is the unit in which the log is written (tsdb/wlog: pageSize). What
// one unfinished write leaves is bad from some offset in the last page on.
const logPage = 32 << 10

// startsRecord tells an empty segment or an unfinished first record from
// garbage: bits 0-2 of a record's first byte are its type (0 padding, 1 full, 2
// first fragment), bits 3 and 4 its compression, the rest zero
// (tsdb/docs/format/wal.md).
func startsRecord(f *os.File) bool {
	var b [1]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return errors.Is(err, io.EOF)
	}
	return b[0]>>5 == 0 && b[0]&7 <= 2
}
