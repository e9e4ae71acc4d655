// Measures libgcrypt for gm/bench. It reads lines
//
//	MODE BYTES TIMES
//
// of which MODE is ecb, ctr, cbc, gcm, ccm, xts or sm3, does that on so many bytes so many
// times, after an eighth of them and one for practice, and answers each line with one:
//
//	CPU WALL END
//
// nanoseconds of this process's CPU, nanoseconds that passed, and the last 16 bytes of what
// was computed last, in hexadecimal: of gcm and ccm the tag. An answer that begins with "error" says what is
// wrong. "version" is answered with libgcrypt's.
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <gcrypt.h>

#define MOST 65536

static unsigned char in[MOST] __attribute__((aligned(64))), out[MOST + 64] __attribute__((aligned(64)));
static unsigned char tag[16], hash[32];
static uint64_t sector;

static int64_t now(clockid_t c)
{
	struct timespec t;
	clock_gettime(c, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static gcry_error_t seal(gcry_cipher_hd_t h, int mode, size_t n)
{
	static const unsigned char nonce[12];
	gcry_error_t e = gcry_cipher_setiv(h, nonce, sizeof nonce);
	if (!e && mode == GCRY_CIPHER_MODE_CCM) {
		uint64_t lengths[3] = {n, 0, sizeof tag};
		e = gcry_cipher_ctl(h, GCRYCTL_SET_CCM_LENGTHS, lengths, sizeof lengths);
	}
	if (!e)
		e = gcry_cipher_encrypt(h, out, n, in, n);
	return e ? e : gcry_cipher_gettag(h, tag, sizeof tag);
}

static gcry_error_t once(gcry_cipher_hd_t h, int mode, size_t n)
{
	switch (mode) {
	case GCRY_CIPHER_MODE_NONE:
		gcry_md_hash_buffer(GCRY_MD_SM3, hash, in, n);
		return 0;
	case GCRY_CIPHER_MODE_GCM:
	case GCRY_CIPHER_MODE_CCM:
		return seal(h, mode, n);
	case GCRY_CIPHER_MODE_XTS: {
		unsigned char tweak[16] = {0};
		for (int i = 0; i < 8; i++)
			tweak[i] = sector >> 8 * i;
		sector++;
		gcry_error_t e = gcry_cipher_setiv(h, tweak, sizeof tweak);
		return e ? e : gcry_cipher_encrypt(h, out, n, in, n);
	}
	default:
		return gcry_cipher_encrypt(h, out, n, in, n);
	}
}

static gcry_error_t begin(gcry_cipher_hd_t *h, int mode)
{
	unsigned char key[32], iv[16] = {0};
	for (int i = 0; i < 32; i++)
		key[i] = i;
	sector = 0;
	if (mode == GCRY_CIPHER_MODE_NONE)
		return 0;
	gcry_error_t e = gcry_cipher_open(h, GCRY_CIPHER_SM4, mode, 0);
	if (!e)
		e = gcry_cipher_setkey(*h, key, mode == GCRY_CIPHER_MODE_XTS ? 32 : 16);
	if (!e && mode == GCRY_CIPHER_MODE_CTR)
		e = gcry_cipher_setctr(*h, iv, sizeof iv);
	if (!e && mode == GCRY_CIPHER_MODE_CBC)
		e = gcry_cipher_setiv(*h, iv, sizeof iv);
	return e;
}

static void answer(int mode, size_t n, long times)
{
	gcry_cipher_hd_t h = NULL;
	gcry_error_t e = begin(&h, mode);
	for (long i = 0; !e && i < times / 8 + 1; i++)
		e = once(h, mode, n);
	int64_t wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (long i = 0; !e && i < times; i++)
		e = once(h, mode, n);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now(CLOCK_MONOTONIC) - wall;
	gcry_cipher_close(h);
	if (e) {
		printf("error %s\n", gcry_strerror(e));
		return;
	}
	const unsigned char *end = out + n - 16;
	if (mode == GCRY_CIPHER_MODE_GCM || mode == GCRY_CIPHER_MODE_CCM)
		end = tag;
	if (mode == GCRY_CIPHER_MODE_NONE)
		end = hash + 16;
	printf("%lld %lld ", (long long)cpu, (long long)wall);
	for (int i = 0; i < 16; i++)
		printf("%02x", end[i]);
	putchar('\n');
}

static const struct {
	const char *name;
	int mode;
} modes[] = {
	{"ecb", GCRY_CIPHER_MODE_ECB}, {"ctr", GCRY_CIPHER_MODE_CTR}, {"cbc", GCRY_CIPHER_MODE_CBC}, {"gcm", GCRY_CIPHER_MODE_GCM},
	{"ccm", GCRY_CIPHER_MODE_CCM}, {"xts", GCRY_CIPHER_MODE_XTS}, {"sm3", GCRY_CIPHER_MODE_NONE},
};

static void serve(const char *line)
{
	char name[8];
	size_t n;
	long times;
	if (!strcmp(line, "version\n")) {
		puts(gcry_check_version(NULL));
		return;
	}
	if (sscanf(line, "%7s %zu %ld", name, &n, &times) != 3 || n < 16 || n > MOST || times < 1) {
		puts("error want MODE BYTES TIMES");
		return;
	}
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(name, modes[i].name)) {
			answer(modes[i].mode, n, times);
			return;
		}
	puts("error no such mode");
}

int main(void)
{
	char line[128];
	if (!gcry_check_version(NULL)) {
		puts("error libgcrypt does not start");
		return 1;
	}
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < MOST; i++)
		in[i] = i * 7;
	while (fgets(line, sizeof line, stdin))
		serve(line);
	return 0;
}
