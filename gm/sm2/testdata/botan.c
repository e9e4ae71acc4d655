/*
 * SM2 encryption by Botan's library, which its command does not offer:
 *   botan encrypt|decrypt SCALAR-IN-HEX <in >out
 * The prototypes are those of botan/ffi.h, whose package the tests do without.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct opaque *handle;
int botan_rng_init(handle *, const char *);
int botan_mp_init(handle *);
int botan_mp_set_from_str(handle, const char *);
int botan_privkey_load_sm2_enc(handle *, handle, const char *);
int botan_privkey_export_pubkey(handle *, handle);
int botan_pk_op_encrypt_create(handle *, handle, const char *, uint32_t);
int botan_pk_op_encrypt(handle, handle, uint8_t *, size_t *, const uint8_t *, size_t);
int botan_pk_op_decrypt_create(handle *, handle, const char *, uint32_t);
int botan_pk_op_decrypt(handle, uint8_t *, size_t *, const uint8_t *, size_t);

int main(int argc, char **argv)
{
	static uint8_t in[1 << 16], out[1 << 16];
	char scalar[2 + 64 + 1] = "0x";
	size_t n, m = sizeof out;
	handle rng, d, key, pub, op;
	int bad;

	if (argc != 3 || strlen(argv[2]) != 64)
		return 2;
	strcat(scalar, argv[2]);
	n = fread(in, 1, sizeof in, stdin);
	bad = botan_rng_init(&rng, "system") || botan_mp_init(&d) || botan_mp_set_from_str(d, scalar) ||
	      botan_privkey_load_sm2_enc(&key, d, "sm2p256v1") || botan_privkey_export_pubkey(&pub, key);
	if (bad)
		return 3;
	if (!strcmp(argv[1], "encrypt"))
		bad = botan_pk_op_encrypt_create(&op, pub, "SM3", 0) || botan_pk_op_encrypt(op, rng, out, &m, in, n);
	else
		bad = botan_pk_op_decrypt_create(&op, key, "SM3", 0) || botan_pk_op_decrypt(op, out, &m, in, n);
	if (bad)
		return 1;
	return fwrite(out, 1, m, stdout) != m;
}
