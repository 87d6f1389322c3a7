/*
 * nigroedge.h - the C API of libnigroedge: from a susceptibility map-weighted MRI of the midbrain
 * to the striatal binding ratio (SBR) of a dopamine-transporter scan, for the left and the right
 * side.
 *
 * Research use only. Not for diagnosis.
 * SPDX-License-Identifier: Apache-2.0
 *
 * This header is the manual.  A program includes it, opens a model file once, and predicts as often
 * as it likes:
 *
 *	struct nigro_model *model;
 *	struct nigro_volume volume = {sizeof volume, ...};
 *	const int32_t side = NIGRO_LEFT;
 *	const double centre_mm[3] = {-9.0, -18.0, -14.0};
 *	float sbr;
 *
 *	if (nigro_model_open("reference.onnx", NULL, &model) != NIGRO_OK ||
 *	    nigro_predict(model, &volume, 1, &side, centre_mm, &sbr, NULL) != NIGRO_OK)
 *		complain(nigro_last_error());
 *	nigro_model_free(model);
 *
 * What holds for every function:
 *
 * - Results.  The same model, voxels and centroid give the same float32 bits on every machine, for
 *   any number of threads, any number of points in one call and every instruction set; in C's
 *   default floating-point mode, that is: programs built with -ffast-math leave it.
 *
 * - Failure.  A function that can fail returns a nigro_status.  Anything but NIGRO_OK means that
 *   nothing that the caller owns was written, unless the function says otherwise, and that
 *   nigro_last_error() has one sentence: what was expected, what came, and where.
 *
 * - Ownership.  The caller owns all that it passes in; the library reads it during the call and
 *   keeps no pointer.  The caller owns the model that it receives from nigro_model_open() or
 *   nigro_model_open_memory(), and gives it back with nigro_model_free().
 *
 * - Threads.  Any thread may call any function at any time.  Calls on one model take turns; calls
 *   on different models run side by side.  Only nigro_model_free() must be the last call on its
 *   model.  A process that forks must open its models after the fork: the threads of a model stay
 *   behind in the parent.  A program that unloads the library must free all models first.
 *
 * - Quiet.  The library prints nothing, ends no program, changes no setting of the process (locale,
 *   signals, floating-point mode), opens no file but the model, and opens no socket.  It reads one
 *   environment variable, NIGROEDGE_ISA, which forces an instruction set by name; a name that this
 *   CPU cannot run is NIGRO_UNSUPPORTED, never a fallback; empty, it counts as not set.
 *
 * - Geometry.  World coordinates are RAS+ millimetres: x grows to the patient's right, y to
 *   anterior, z to superior.  Left and right are the patient's and follow from the affine alone.
 *   DICOM and 3-D Slicer speak LPS: negate the first two rows of such a matrix, and x and y of a
 *   point.
 *
 * Structs of this header begin with their own size, which the caller sets with sizeof; so they can
 * grow and old programs still run.  A size that this library does not know is NIGRO_BAD_ARGUMENT.
 * The numbers of statuses, types and sides never change.
 */
#ifndef NIGROEDGE_H
#define NIGROEDGE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define NIGRO_API __attribute__((visibility("default")))
#else
#define NIGRO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version that this header belongs to; nigro_version() has that of the library that runs. */
#define NIGRO_VERSION "0.1.0"

/* What became of a call. */
typedef int32_t nigro_status;
enum {
    NIGRO_OK = 0,
    NIGRO_BAD_ARGUMENT = 1,     /* a call that no correct program makes: NULL, a wrong size, an
                                   unknown type or side, a slope of 0, voxels that overlap */
    NIGRO_CANNOT_READ = 2,      /* the model file cannot be opened or read */
    NIGRO_BAD_MODEL = 3,        /* not a model of this format, a network that this engine does not
                                   run, or a model that fails its self-test */
    NIGRO_UNSUPPORTED = 4,      /* NIGROEDGE_ISA names what this CPU cannot run */
    NIGRO_BAD_GEOMETRY = 5,     /* a broken affine, voxels shorter than 0.05 mm or longer than 5, a
                                   centroid outside the volume or in metres, a patch of which
                                   less than 0.9 lies inside it, or a left and a right centroid
                                   exchanged or not 8 to 50 mm apart */
    NIGRO_DEGENERATE_PATCH = 6, /* the voxels around the centroid are constant or all but, not
                                   finite, without a positive mean to divide by, 0 in a whole slice,
                                   or no SMWI: negative, or such that the model answers with an SBR
                                   that cannot be */
    NIGRO_SIDE_NOT_SERVED = 7,  /* the model was not trained for that side */
    NIGRO_NO_MEMORY = 8,        /* the system gave no memory or no thread */
    NIGRO_INTERNAL = 9          /* a bug in this library */
};

/* A side of the patient, not of the screen. */
enum { NIGRO_LEFT = 1, NIGRO_RIGHT = 2 };

/* Which sides a model serves or mirrors: a sum of the numbers above, so NIGRO_BOTH is their sum. */
enum { NIGRO_NEITHER = 0, NIGRO_BOTH = 3 };

/* How a voxel is stored.  The numbers are those of the field 'datatype' of NIfTI-1. */
enum {
    NIGRO_UINT8 = 2,
    NIGRO_INT16 = 4,
    NIGRO_INT32 = 8,
    NIGRO_FLOAT32 = 16,
    NIGRO_FLOAT64 = 64,
    NIGRO_INT8 = 256,
    NIGRO_UINT16 = 512,
    NIGRO_UINT32 = 768
};

/*
 * A volume: voxels as they are stored, and where they lie.
 *
 * The value of a voxel is slope * stored + intercept.  Voxel (i, j, k) begins
 * i * strides_bytes[0] + j * strides_bytes[1] + k * strides_bytes[2] bytes after 'voxels'; strides
 * may be negative, and voxels need not be aligned.  Strides that let voxels overlap are refused: a
 * forgotten field has 0, and strides counted in voxels are too small; along an axis of one voxel
 * any stride will do.  Voxels are read in place and only where a patch needs them.
 *
 * A volume need not be in memory whole: of one in a file, nigro_get_window() says which part a
 * prediction reads.  Then 'voxels' is the first byte of voxel held_begin, and voxel (i, j, k)
 * begins (i - held_begin[0]) * strides_bytes[0] + ... bytes after it.  Read such a part with read()
 * or its like: where a file is mapped and shrinks, the system ends the program.
 *
 * The centre of voxel (i, j, k) lies, in millimetres, at
 *
 *	x = affine[0] * i + affine[1] * j + affine[2]  * k + affine[3]
 *	y = affine[4] * i + affine[5] * j + affine[6]  * k + affine[7]
 *	z = affine[8] * i + affine[9] * j + affine[10] * k + affine[11]
 *
 * Voxels shorter than 0.05 mm or longer than 5 mm along any axis are refused: no image of a
 * midbrain has them, but an affine in micrometres or metres does.
 */
struct nigro_volume {
    size_t sizeof_volume;     /* sizeof(struct nigro_volume) */
    const void* voxels;       /* the first byte of voxel (0, 0, 0) */
    int32_t type;             /* NIGRO_UINT8 ... NIGRO_UINT32 */
    int32_t swapped;          /* 0 if the bytes of a voxel are in the order of this machine, 1 if
                                 they are reversed */
    int64_t shape[3];         /* voxels along each axis, each 1 or more */
    int64_t strides_bytes[3]; /* from a voxel to the next one along each axis */
    double affine[16];        /* voxel index to RAS+ mm; 4 x 4, row after row, the last 0 0 0 1 */
    double slope;             /* finite, not 0; 1 if the file says nothing */
    double intercept;         /* finite */
    int64_t held_begin[3];    /* the part in memory: from held_begin to before held_end along */
    int64_t held_end[3];      /* each axis; the whole where all six are 0.  Programs compiled before
                                 these two fields were here still run */
};

/* How a model is to run. */
struct nigro_options {
    size_t sizeof_options; /* sizeof(struct nigro_options) */
    int32_t num_threads;   /* 1 or more, the caller's own included, up to NIGRO_MAX_THREADS; more
                              than nigro_usable_processors() count as that many */
};

enum { NIGRO_MAX_THREADS = 256 };

/* A model in memory, ready to predict.  Its inside is nobody's business. */
struct nigro_model;

/*
 * nigro_model_open() reads the model file at 'path' and makes it ready: it checks the file (which
 * may be hostile), plans the network, and runs the self-test that the file carries.
 *
 * 'path' is a file name in the encoding that fopen() takes.  The file is read once, whole, and
 * closed; up to 512 MB.  'options' may be NULL: one thread, the caller's.  With num_threads above 1
 * the model starts num_threads - 1 threads, which sleep between calls and end with
 * nigro_model_free().
 * '*model_ret' receives the model, to be freed with nigro_model_free(); after failure it is
 * untouched.
 *
 * Returns NIGRO_OK; NIGRO_BAD_ARGUMENT if 'path' or 'model_ret' is NULL or 'options' has an unknown
 * size or a number of threads out of range; NIGRO_CANNOT_READ; NIGRO_BAD_MODEL, with the reason in
 * nigro_last_error(), also when the self-test's SBR is further than 1e-4 from the one in the file;
 * NIGRO_UNSUPPORTED; NIGRO_NO_MEMORY; NIGRO_INTERNAL.
 */
NIGRO_API nigro_status nigro_model_open(const char* path, const struct nigro_options* options,
                                        struct nigro_model** model_ret);

/*
 * nigro_model_open_memory() does the same for a model file that is in memory already: the
 * 'n_bytes' bytes at 'bytes'.  They may be freed or changed once it returns.  A program that logs
 * which model ran computes its SHA-256 over these bytes.
 *
 * Returns what nigro_model_open() returns, but never NIGRO_CANNOT_READ.
 */
NIGRO_API nigro_status nigro_model_open_memory(const void* bytes, size_t n_bytes,
                                               const struct nigro_options* options,
                                               struct nigro_model** model_ret);

/* nigro_model_free() ends the threads of 'model' and frees it.  NULL is allowed. */
NIGRO_API void nigro_model_free(struct nigro_model* model);

/*
 * nigro_predict() predicts the SBR of 'n_points' points of one volume: usually one, or two, the
 * left and the right nigrosome-1.  For each it crops the model's patch around the centroid, mirrors
 * and normalises it as the model says, and runs the network.
 *
 * 'volume' is described above.  'sides' has n_points numbers, NIGRO_LEFT or NIGRO_RIGHT.
 * 'centres_mm' has n_points * 3 numbers, x, y, z of each centroid in RAS+ mm.  'sbr' receives
 * n_points values.  'coverage' receives n_points values, the fraction of each patch that lies
 * inside the volume, 0.9 to 1; what lies outside was taken from the nearest voxel.  'coverage' may
 * be NULL.
 *
 * Returns NIGRO_OK; NIGRO_BAD_ARGUMENT if another pointer is NULL, n_points is 0, or 'volume' or a
 * side is not as described above; NIGRO_SIDE_NOT_SERVED; NIGRO_BAD_GEOMETRY, also if a left
 * centroid lies to the right of a right one, or not 8 to 50 mm to the left of it along x;
 * NIGRO_DEGENERATE_PATCH, also if the network answers with an SBR below -1, which no ratio of
 * counts gives, or above 15, which nobody has; NIGRO_BAD_MODEL if its answer is not a finite
 * number; NIGRO_NO_MEMORY; NIGRO_INTERNAL.  A failure of one point is a failure of the call: no
 * value is written, and nigro_last_error() names the side.
 */
NIGRO_API nigro_status nigro_predict(struct nigro_model* model, const struct nigro_volume* volume,
                                     size_t n_points, const int32_t* sides,
                                     const double* centres_mm, float* sbr, double* coverage);

/*
 * nigro_get_window() says which voxels nigro_predict() would read for these points: the smallest
 * box that holds the patches of all.  A program that has the volume in a file reads that box.
 *
 * 'volume', 'n_points', 'sides' and 'centres_mm' are those of nigro_predict(); of 'volume' only the
 * size, shape and affine are looked at.  'begin' and 'end' receive 3 numbers each: the box reaches
 * from begin to before end along each axis of the volume.
 *
 * Returns NIGRO_OK; NIGRO_BAD_ARGUMENT, NIGRO_SIDE_NOT_SERVED and NIGRO_BAD_GEOMETRY as
 * nigro_predict() would; NIGRO_NO_MEMORY; NIGRO_INTERNAL.
 */
NIGRO_API nigro_status nigro_get_window(const struct nigro_model* model,
                                        const struct nigro_volume* volume, size_t n_points,
                                        const int32_t* sides, const double* centres_mm,
                                        int64_t* begin, int64_t* end);

/*
 * nigro_predict_patches() runs the network alone, on patches that are cropped, mirrored and
 * normalised already.
 *
 * 'patches' has n_values float32: one patch after the other, each of patch_shape[0] *
 * patch_shape[1] * patch_shape[2] values (struct nigro_model_info) with the last axis fastest.
 * 'sbr' receives n_patches values.
 *
 * Returns NIGRO_OK; NIGRO_BAD_ARGUMENT if a pointer is NULL, n_patches is 0, or n_values is not
 * n_patches whole patches; NIGRO_DEGENERATE_PATCH if a value is not finite; NIGRO_BAD_MODEL if the
 * network's answer is not finite; NIGRO_NO_MEMORY; NIGRO_INTERNAL.
 */
NIGRO_API nigro_status nigro_predict_patches(struct nigro_model* model, const float* patches,
                                             size_t n_values, float* sbr, size_t n_patches);

/* What a model says about itself.  Its pointers live as long as the model. */
struct nigro_model_info {
    size_t sizeof_info; /* sizeof(struct nigro_model_info), set by the caller */
    int64_t patch_shape[3];
    double spacing_mm[3];  /* of neighbouring voxels of a patch */
    char axes[4];          /* where each axis of a patch grows to, such as "ALI": anterior, left,
                              inferior */
    int32_t sides;         /* which it serves: NIGRO_LEFT, NIGRO_RIGHT or NIGRO_BOTH */
    int32_t mirrored;      /* which it sees flipped along left-right: NIGRO_NEITHER, NIGRO_LEFT or
                              NIGRO_RIGHT; on which voxel the centroid then lies is the file's
                              metadata nigroedge.mirror_centre, which nigro_predict() keeps to */
    int32_t num_threads;   /* the caller's own included; see nigro_options */
    const char* normalize; /* how patches are, such as "mean" or "percentile 1 99 clip" */
    const char* isa;       /* the instruction set that runs, such as "avx2" */
    const char* card;      /* the model card, JSON in UTF-8: name, version, licence, limits, ... */
};

/*
 * nigro_get_model_info() fills '*info', whose sizeof_info the caller has set.
 *
 * Returns NIGRO_OK, or NIGRO_BAD_ARGUMENT if a pointer is NULL or the size is unknown.
 */
NIGRO_API nigro_status nigro_get_model_info(const struct nigro_model* model,
                                            struct nigro_model_info* info);

/*
 * nigro_last_error() says why the last call that failed in this thread failed, in English, UTF-8,
 * on one line of at most 1023 bytes; "" if none did.  It never returns NULL.  The text belongs to
 * the library and stays until another call fails in this thread, or the thread ends.  It never
 * holds voxel values or anything that names a patient; it may hold the path of the model.
 */
NIGRO_API const char* nigro_last_error(void);

/*
 * nigro_usable_processors() returns how many processors this process may use, from 1 to
 * NIGRO_MAX_THREADS: those that it may be scheduled on, or fewer if its control groups (a
 * container's limit, cgroup version 1 or 2) grant less.  It is asked anew at each call.
 */
NIGRO_API int32_t nigro_usable_processors(void);

/* nigro_version() returns the version of the library, such as "0.1.0".  It lives for ever. */
NIGRO_API const char* nigro_version(void);

#ifdef __cplusplus
}
#endif

#endif /* NIGROEDGE_H */
