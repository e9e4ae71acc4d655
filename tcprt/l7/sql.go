package l7

import "strings"

// verb gives the first word of a statement when it is one of SQL, else Other; of no
// statement "".
func verb(s []byte, d dialect) string {
	scan := scanner{s: s, dialect: d}
	for {
		switch t := scan.next(); {
		case t.kind == nothing:
			return ""
		case t.kind == mark && (t.text[0] == '(' || t.text[0] == ';'):
			continue
		case t.kind == ident:
			return verbName(t.text)
		}
		return Other
	}
}

func verbName(b []byte) string {
	var room [16]byte
	if len(b) <= len(room) {
		if s, known := verbs[string(appendUpper(room[:0], b))]; known {
			return s
		}
	}
	return Other
}

// verbs are the first words of the statements of MySQL 9's reference (chapter "SQL
// Statements") and of PostgreSQL 18's (part "SQL Commands").
var verbs = func() map[string]string {
	all := map[string]string{}
	for _, s := range strings.Fields(`ABORT ALTER ANALYZE BEGIN BINLOG CACHE CALL CHANGE CHECK CHECKPOINT CHECKSUM CLONE CLOSE CLUSTER
		COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DESC DESCRIBE DISCARD DO DROP END EXECUTE EXPLAIN FETCH FLUSH GET
		GRANT HANDLER HELP IMPORT INSERT INSTALL KILL LISTEN LOAD LOCK MERGE MOVE NOTIFY OPTIMIZE PREPARE PURGE REASSIGN
		REFRESH REINDEX RELEASE RENAME REPAIR REPLACE RESET RESIGNAL RESTART REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET
		SHOW SHUTDOWN SIGNAL START STOP TABLE TRUNCATE UNINSTALL UNLISTEN UNLOCK UPDATE USE VACUUM VALUES WITH XA`) {
		all[s] = s
	}
	return all
}()
