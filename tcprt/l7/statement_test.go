package l7

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVerb(t *testing.T) {
	for s, want := range map[string]string{
		"": "", " \n\t": "", ";": "", "/*": "", "-- x": "", "select": "SELECT", "SeLeCt 1": "SELECT", "((SELECT 1))": "SELECT",
		"selects": Other, "1": Other, "'select'": Other, "=": Other, "\x00\x00BEGIN": "BEGIN", "/* a */BEGIN;": "BEGIN", "--a\nEND": "END",
		";;commit": "COMMIT", "WITH a AS (SELECT 1) DELETE FROM a": "WITH", "\xff": Other, strings.Repeat("x", 100): Other,
	} {
		for _, d := range []dialect{mysql, postgresql} {
			if d == mysql && s == "--a\nEND" {
				continue // two minuses there
			}
			if got := verb([]byte(s), d); got != want {
				t.Errorf("%q: %q, want %q", s, got, want)
			}
		}
	}
}

func TestStatement(t *testing.T) {
	const any = mysql + 100
	for _, c := range []struct {
		d       dialect
		s, want string
	}{
		{any, "", ""},
		{any, "SELECT 1", "SELECT ?"},
		{any, "  select\t*\n from  t ", "select * from t"},
		{any, "SELECT a.b, 1.5e-3, .5, 0xFF, 1e10 FROM t1", "SELECT a.b, ? FROM t1"},
		{any, "SELECT -5+3", "SELECT -?+?"},
		{any, "SELECT 'it''s' || 'x'", "SELECT ? || ?"},
		{any, "SELECT '' , a", "SELECT ? , a"},
		{any, "SELECT 'C:\\\\', a", "SELECT ?, a"},
		{any, "SELECT x'4142', b'01', N'a'", "SELECT ?"},
		{any, "SELECT 'cut at the sec", "SELECT ?"},
		{any, "SELECT 'cut''", "SELECT ?"},
		{any, "SELECT 'cut\\", "SELECT ?"},
		{any, "SELECT 12", "SELECT ?"},
		{any, "WHERE id IN (1,2, 3)", "WHERE id IN (?)"},
		{any, "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'),(3, 'z')", "INSERT INTO t (a, b) VALUES (?)"},
		{any, "SELECT NULL, TRUE", "SELECT NULL, TRUE"},
		{any, "SELECT 1; SELECT secret", "SELECT ?"},
		{any, "SELECT /* secret */ a", "SELECT a"},
		{any, "SELECT a/*+ hint */FROM b", "SELECT a FROM b"},
		{any, "SELECT /* cut at the sec", "SELECT"},
		{any, "SELECT -- secret\n a", "SELECT a"},
		{any, "SELECT $$ secret $$, a", "SELECT ?, a"},
		{any, "SELECT $tag$ $$ secret $$ $tag$, a", "SELECT ?, a"},
		{any, "SELECT $tag$ cut at the sec", "SELECT ?"},
		{any, "SELECT $ta", "SELECT ?"},
		{any, "SELECT $1, $2 + $3", "SELECT ? + ?"},
		{any, "SELECT $1$$secret$$", "SELECT ??"},
		{any, "SELECT caf\xc3\xa9 FROM t", "SELECT ? FROM t"},
		{any, "SELECT a FROM t WHERE b = 'caf\xc3\xa9' AND c = '\xe6", "SELECT a FROM t WHERE b = ? AND c = ?"},
		{any, "SELECT a FROM t WHERE b = '\xb3\\', c", ""}, // GBK
		{any, "SET a = secret", "SET a = ?"},
		{any, "SET a TO secret", "SET a TO ?"},
		{any, "SET NAMES utf8", "SET NAMES utf8"},
		{any, "ALTER SYSTEM SET a = secret", "ALTER SYSTEM SET a = ?"},
		{any, "UPDATE t SET a = b", "UPDATE t SET a = b"},
		{any, "SELECT " + strings.Repeat("abcdefghi,", 30), "SELECT " + strings.Repeat("abcdefghi,", 11)},
		{any, strings.Repeat("x", 65), "?"},
		{any, "a\x00b\x01c\x7f", "a b c"},
		// MySQL's reference: "String Literals", "Comments".
		{mysql, `SELECT "a", a`, "SELECT ?, a"},
		{mysql, `SELECT "it's", a`, "SELECT ?, a"},
		{mysql, "SELECT `a b`.`c`", "SELECT `a b`.`c`"},
		{mysql, "SELECT `joe@example.com`, a", "SELECT ?, a"},
		{mysql, "SELECT `a``b`, a", "SELECT ?, a"},
		{mysql, "SELECT `cut", "SELECT ?"},
		{mysql, `SELECT 'it\'s', a`, "SELECT ?"}, // or NO_BACKSLASH_ESCAPES
		{mysql, `SELECT 'a\'`, "SELECT ?"},
		{mysql, `SELECT 'a\nb', a`, "SELECT ?, a"},
		{mysql, "SELECT a # secret\n, b", "SELECT a , b"},
		{mysql, "SELECT 5--1, a", "SELECT ?--?, a"},
		{mysql, "SELECT 1--'\n secret', a", "SELECT ?--?, a"},
		{mysql, "SELECT /*!40001 SQL_NO_CACHE */ * FROM t", "SELECT"},
		{mysql, "SELECT /* a /* b */ c", "SELECT c"},
		{mysql, "INSERT INTO t VALUES (?, ?, ?), (?, ?, ?)", "INSERT INTO t VALUES (?)"},
		{mysql, "SELECT _utf8'secret', @v", "SELECT _utf8?, @v"},
		// PostgreSQL §4.1.
		{postgresql, `SELECT "a", a`, `SELECT "a", a`},
		{postgresql, `SELECT "User"."id"`, `SELECT "User"."id"`},
		{postgresql, `SELECT "{json: 1}", a`, "SELECT ?, a"},
		{postgresql, `SELECT E'it\'s', a`, "SELECT ?, a"},
		{postgresql, `SELECT e'\\', a`, "SELECT ?, a"},
		{postgresql, `SELECT E'\\\' secret', a`, "SELECT ?, a"},
		{postgresql, `SELECT 'C:\', a`, "SELECT ?"}, // or standard_conforming_strings = off
		{postgresql, "SELECT E'a'\n'b\\'c', a", "SELECT ? ?"},
		{postgresql, `SELECT U&'d\0061t', a`, "SELECT U&?, a"},
		{postgresql, "SELECT a--secret\r, b", "SELECT a , b"},
		{postgresql, "SELECT /* a /* b */ secret */ c", "SELECT c"},
		{postgresql, "SELECT a # b", "SELECT a # b"},
		{postgresql, "SELECT a ? 'b'", "SELECT a ? ?"},
		{postgresql, "SELECT a::int, '1'::int", "SELECT a::int, ?::int"},
		{postgresql, "SELECT a$$b, c", "SELECT a$$b, c"},
	} {
		for _, d := range []dialect{mysql, postgresql} {
			if c.d != any && c.d != d {
				continue
			}
			if got := string(statement(nil, []byte(c.s), d)); got != c.want {
				t.Errorf("%d %q: %q, want %q", d, c.s, got, c.want)
			}
		}
	}
}

// Statements made at random of names, literals and comments, and cut at each byte:
// what is in a literal or a comment comes out of none, whatever the server's settings
// make of backslashes.
func TestStatementTellsNoValue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		d := dialect(i % 2)
		escapes := i%4 < 2
		secret := fmt.Sprintf("zq%dzq", r.IntN(1000))
		var b strings.Builder
		b.WriteString("SELECT a")
		for range 1 + r.IntN(6) {
			b.WriteString([]string{",", " , ", "=", "\n+ ", " AND x ", " IN ("}[r.IntN(6)])
			b.WriteString(hide(r, d, escapes, secret))
		}
		text := b.String()
		for cut := range len(text) + 1 {
			got := string(statement(nil, []byte(text[:cut]), d))
			if strings.Contains(got, "zq") || len(got) > MaxRoute || !utf8.ValidString(got) {
				t.Fatalf("dialect %d, escapes %v: %q of %q", d, escapes, got, text[:cut])
			}
		}
	}
}

// hide puts a secret, and what is hard to read around it, into a literal or a
// comment.
func hide(r *rand.Rand, d dialect, escapes bool, secret string) string {
	odd := []string{"'", "\"", "\\", "\\\\", "--", "-- ", "/*", "*/", "#", "$$", "$a$", "`", "\n", ";", "é", "?", "E'", "(", "\\'"}
	part := func() string { return odd[r.IntN(len(odd))] + odd[r.IntN(len(odd))] }
	text := part() + secret + part()
	quote := func(q, s string) string {
		if escapes || q == "E'" {
			s = strings.ReplaceAll(s, "\\", "\\\\")
			if r.IntN(2) == 0 {
				return q + strings.ReplaceAll(s, q[len(q)-1:], "\\"+q[len(q)-1:]) + q[len(q)-1:]
			}
		}
		return q + strings.ReplaceAll(s, q[len(q)-1:], q[len(q)-1:]+q[len(q)-1:]) + q[len(q)-1:]
	}
	ways := []func() string{
		func() string { return quote("'", text) },
		func() string { return "/* " + strings.NewReplacer("*/", "", "/*", "").Replace(text) + " */" },
		func() string { return "-- " + strings.ReplaceAll(text, "\n", "") + "\n" },
	}
	if d == mysql {
		ways = append(ways, func() string { return quote("\"", text) }, func() string { return "#" + strings.ReplaceAll(text, "\n", "") + "\n" })
	} else {
		ways = append(ways, func() string { return quote("E'", text) }, func() string { return "$b$" + text + "$b$" },
			func() string { return " $$" + strings.ReplaceAll(text, "$", "") + "$$" })
	}
	return ways[r.IntN(len(ways))]()
}

func TestVerbNames(t *testing.T) {
	for key, name := range verbs {
		if key != name || len(name) > 16 || !slices.ContainsFunc([]byte(name), letter) {
			t.Errorf("%q: %q", key, name)
		}
	}
}
